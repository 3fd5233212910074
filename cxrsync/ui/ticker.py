"""Calls a function a few times per second, whatever the rest of the program waits for.

A thread, and no task of the event loop: some commands have no loop while they read a large
manifest, and a person at the terminal must not take their silence for a crash.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

TICK_SECONDS = 0.5


class Ticker:
    """Calls ``tick`` every TICK_SECONDS from :meth:`start` to :meth:`stop`."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to call."""
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Call no more; wait for the end of a call that has begun."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._ended.wait(TICK_SECONDS):
            self._tick()
