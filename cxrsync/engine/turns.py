"""Whose turn it is to ask: as many requests at a time as the server and the line bear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

from cxrsync.engine.window import Window
from cxrsync.errors import Interrupted, Throttled, Unreachable
from cxrsync.job import Limits
from cxrsync.model import Connections, Emit


class Turns:
    """Turns for the connections of a run, and what becomes of the requests made in them.

    A stream that flows is never cut off for there being too many: only nobody new has a turn.
    """

    def __init__(self, limits: Limits, emit: Emit) -> None:
        first = min(limits.first_connections, limits.connections)
        self._window = Window(first, limits.connections, monotonic())
        self._emit = emit
        self._free = asyncio.Semaphore(first)
        self._turns = first

    @asynccontextmanager
    async def take(self) -> AsyncIterator[Callable[[], None]]:
        """Wait for a turn, and have it; what it gives is called when the request is answered."""
        await self._free.acquire()
        while self._turns > self._window.size:  # there are fewer by now: this one is given up
            self._turns -= 1
            await self._free.acquire()
        mark = self._window.asked(monotonic())
        changed = False
        try:
            yield lambda: self._grown(self._window.answered(mark, monotonic()))
        except Interrupted:
            changed = self._window.broken(mark, monotonic())
            raise
        except (Unreachable, Throttled) as problem:
            if isinstance(problem, Unreachable) or problem.overloaded:
                changed = self._window.trouble(mark, monotonic())
            raise
        finally:
            self._window.forget(mark)
            self._free.release()
            if changed:
                self._emit(Connections(self._window.size))

    def flowing(self) -> None:
        """Bytes arrive in some turn."""
        self._grown(self._window.flowing(monotonic()))

    def _grown(self, grown: bool) -> None:
        if grown:
            while self._turns < self._window.size:
                self._turns += 1
                self._free.release()
            self._emit(Connections(self._window.size))
