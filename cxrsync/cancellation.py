"""How a run is asked to end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from cxrsync.errors import CxrsyncError, ExitCode


class CancelToken:
    """How a run is asked to end: by a signal, by a limit that was reached, or by something that
    forbids to go on."""

    def __init__(self) -> None:
        self.code: ExitCode | None = None
        self.error: CxrsyncError | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelled = False

    @contextmanager
    def watching(self, most_seconds: float | None) -> Iterator[None]:
        """Cancel the task that is in here once the stop is requested, or after ``most_seconds``."""
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        timer = (
            None
            if most_seconds is None
            else loop.call_later(most_seconds, self.request, ExitCode.LIMIT)
        )
        if self.code is not None or self.error is not None:
            self._cancel()
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()
            if self._cancelled and self._task is not None:
                # It was our own: what the caller does next is not cancelled.
                self._task.uncancel()
                self._cancelled = False
            self._task = None

    def request(self, code: ExitCode) -> None:
        """End the run in good order. Call it in the event loop's thread."""
        if self.code is None:
            self.code = code
            self._cancel()

    def fail(self, error: CxrsyncError) -> None:
        """End the run at once, with ``error``. Call it in the event loop's thread."""
        if self.error is None:
            self.error = error
            self._cancel()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._cancelled = True
