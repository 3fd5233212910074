"""Say that nothing arrives, so that nobody wonders whether anything still happens."""

from __future__ import annotations

import asyncio
from math import inf

from cxrsync.events import EventSink, Waiting
from cxrsync.progress_events import WaitingEnded

# The line must be there within two seconds, and the program needs some of them to start.
FIRST_SECONDS = 1.5
AGAIN_SECONDS = 30.0


class SilenceWatch:
    """What all requests of a source wait for together: any byte from ``host``.

    Emits Waiting once nothing has arrived for FIRST_SECONDS while at least one request waits, and
    again at most every AGAIN_SECONDS; then WaitingEnded with the first byte. A byte for any request
    is a sign of life for all: then the server is slow at most, and the progress shows that. Only
    waits for the server count: not those for a password, a free connection, the rate limit or the
    disk.
    """

    def __init__(self, host: str, emit: EventSink) -> None:
        self._host = host
        self._emit = emit
        self._waits = 0
        self._at_most = 0.0
        self._has_answered = False
        self._alive_at = -inf
        self._told_at = -inf
        self._is_silent = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, at_most: float) -> None:
        """Note that a request begins to wait, for so many seconds at most."""
        loop = asyncio.get_running_loop()
        if not self._waits:
            self._alive_at = loop.time()
        self._waits += 1
        self._at_most = at_most
        if self._timer is None:
            self._timer = loop.call_later(FIRST_SECONDS, self._look)

    def go_on(self, at_most: float) -> None:
        """Note that a request goes on waiting, for so many seconds more at most."""
        self._at_most = at_most

    def end(self, *, arrived: bool) -> None:
        """Note the end of a wait that :meth:`begin` began. ``arrived``: something was received."""
        self._waits -= 1
        if arrived:
            self.note_bytes()

    def note_bytes(self) -> None:
        """Note that something was received."""
        self._has_answered = True
        self._alive_at = asyncio.get_running_loop().time()
        if self._is_silent:
            self._is_silent = False
            self._emit(WaitingEnded())

    def close(self) -> None:
        """Emit nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if not self._waits:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        due = max(self._alive_at + FIRST_SECONDS, self._told_at + AGAIN_SECONDS)
        if now >= due:
            self._told_at = now
            self._is_silent = True
            due = now + AGAIN_SECONDS
            what = "nothing arrives from" if self._has_answered else "no answer yet from"
            self._emit(Waiting(f"{what} {self._host}", now - self._alive_at, self._at_most))
        self._timer = loop.call_at(due, self._look)
