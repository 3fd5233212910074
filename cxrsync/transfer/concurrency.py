"""Whose turn it is to ask: as many requests at a time as the server and the line bear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic

from cxrsync.config.job import TransferLimits
from cxrsync.errors import Interrupted, Throttled, Unreachable
from cxrsync.events import ConcurrencyChanged, EventSink
from cxrsync.transfer.aimd import AimdWindow
from cxrsync.transfer.machine_sleep import slept_seconds

# Two clocks that are read one after the other differ by less.
_MIN_SLEEP = 1.0


async def _at_once() -> bool:
    return False


class ConcurrencyLimiter:
    """Turns for the connections of a run, and what becomes of the requests made in them.

    Fewer turns never end a request that is under way; they only delay the next.
    """

    def __init__(self, limits: TransferLimits, emit: EventSink) -> None:
        first = min(limits.first_connections, limits.connections)
        self._window = AimdWindow(first, limits.connections, monotonic())
        self._emit = emit
        self._free = asyncio.Semaphore(first)
        self._limiter = self._told = first
        self._slept = slept_seconds()
        self.under_way = 0
        """How many answers are being received."""

    @asynccontextmanager
    async def acquire(
        self, ready: Callable[[], Awaitable[bool]] = _at_once
    ) -> AsyncIterator[Callable[[], None]]:
        """Wait for a turn and until ``ready``, which tells whether that took a while; what this
        gives is called when the request is answered."""
        await self._turn(ready)
        self._notice_sleep()
        # Not before: what is asked after an outage is not of the time before it.
        mark = self._window.asked(monotonic())

        begun = False

        def answered() -> None:
            nonlocal begun
            begun = True
            self.under_way += 1
            if self._window.answered(mark, monotonic()):
                self._follow()

        try:
            yield answered
        except Interrupted:
            self._notice_sleep()
            self._window.broken(mark, monotonic())
            raise
        except (Unreachable, Throttled) as problem:
            self._notice_sleep()
            if isinstance(problem, Unreachable) or problem.overloaded:
                by_us = isinstance(problem, Throttled) and problem.by_us
                self._window.trouble(mark, monotonic(), by_us=by_us)
            raise
        finally:
            self.under_way -= begun
            self._window.forget(mark)
            self._free.release()
            self._follow()

    @property
    def size(self) -> int:
        """How many turns there are."""
        return self._window.size

    def flowing(self) -> None:
        """Bytes arrive in some turn."""
        if self._window.flowing(monotonic()):
            self._follow()

    def lapse(self) -> None:
        """The line was dead: whatever was asked meanwhile says nothing of the number of turns."""
        self._window.lapse()

    def away(self) -> None:
        """The server is away: nobody asks until it is back, and then with half of the turns."""
        self._window.away()

    def back(self) -> None:
        """The server is back."""
        self._window.back(monotonic())
        self._follow()

    async def _turn(self, ready: Callable[[], Awaitable[bool]]) -> None:
        await self._free.acquire()
        while True:
            while self._limiter > self._window.size:  # there are fewer by now: this one is given up
                self._limiter -= 1
                await self._free.acquire()
            try:
                waited = await ready()
            except BaseException:
                self._free.release()
                raise
            if not waited:
                return

    def _follow(self) -> None:
        """As many turns as the window has it, from now on."""
        size = self._window.size
        while self._limiter < size:
            self._limiter += 1
            self._free.release()
        if size != self._told:
            self._told = size
            self._emit(ConcurrencyChanged(size))

    def _notice_sleep(self) -> None:
        slept = slept_seconds()
        if slept - self._slept > _MIN_SLEEP:
            self._slept = slept
            self._window.lapse()
