"""Cancellation of a run: by a signal, by a limit, or by an error that forbids to continue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cxrsync.errors import CxrsyncError, ExitCode

STATE_IS_SAVED = "the state is saved"
# Of what only reads.
NOTHING_CHANGED = "nothing was changed"
# The next step after a run that was stopped, where a further one goes on; and where it does not.
RESUME = "Run the same command again to resume."
AGAIN = "Run the same command again."
_LOOK_SECONDS = 60.0


class CancelToken:
    """Cancels one run. ``code`` or ``error`` says why; both are None while the run may continue.

    ``safe``: what holds of the user's data if it ends now, in words.
    """

    def __init__(self, safe: str = STATE_IS_SAVED) -> None:
        self.safe = safe
        self.code: ExitCode | None = None
        self.error: CxrsyncError | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelled = False
        self._children: list[CancelToken] = []

    @property
    def next_step(self) -> str:
        """What to do after a run that this token has ended."""
        return RESUME if self.safe == STATE_IS_SAVED else AGAIN

    def child(self) -> CancelToken:
        """Return a token for one of several runs: what ends all of them ends it, but its own limits
        and errors do not end the others."""
        child = CancelToken(self.safe)
        self._children.append(child)
        if self.code is not None:
            child.request(self.code)
        return child

    @contextmanager
    def watching(self, most_seconds: float | None) -> Iterator[None]:
        """Cancel the current task when the run is to end, or after ``most_seconds``.

        The cancellation ends with this context: the caller's next await is not cancelled.
        """
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
                # This class requested the cancellation, so it takes the request back.
                self._task.uncancel()
                self._cancelled = False
            self._task = None

    @contextmanager
    def ending(self, seconds_left: Callable[[], float]) -> Iterator[None]:
        """End the run (exit 9) once ``seconds_left()`` is 0.

        It is called every minute at least: it goes by the wall clock, which somebody may set, and
        the machine may sleep.
        """
        timer: asyncio.TimerHandle | None = None
        loop = asyncio.get_running_loop()

        def look() -> None:
            nonlocal timer
            left = seconds_left()
            if left <= 0:
                self.request(ExitCode.LIMIT)
            else:
                timer = loop.call_later(min(left, _LOOK_SECONDS), look)

        look()
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()

    def request(self, code: ExitCode) -> None:
        """End the run in good order, with ``code``. To be called in the event loop's thread."""
        if self.code is None:
            self.code = code
            self._cancel()
            for child in self._children:
                child.request(code)

    def fail(self, error: CxrsyncError) -> None:
        """End the run at once, with ``error``. To be called in the event loop's thread."""
        if self.error is None:
            self.error = error
            self._cancel()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._cancelled = True
