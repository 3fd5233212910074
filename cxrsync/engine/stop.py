"""How a run is asked to end."""

from __future__ import annotations

import asyncio
import threading

from cxrsync.errors import ExitCode


class Stop:
    """How a run is asked to end: by a signal, or by a limit that was reached."""

    def __init__(self) -> None:
        self.code: ExitCode | None = None
        self.flag = threading.Event()
        self._task: asyncio.Task[object] | None = None

    def watch(self, task: asyncio.Task[object] | None) -> None:
        """Cancel ``task`` once the stop is requested."""
        self._task = task
        if self.code is not None and task is not None:
            task.cancel()

    def request(self, code: ExitCode) -> None:
        """End the run in good order. Call it in the event loop's thread."""
        if self.code is None:
            self.code = code
            self.flag.set()
            if self._task is not None:
                self._task.cancel()
