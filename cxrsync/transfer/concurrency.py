"""The concurrency limit of a run: how many requests may be made at a time (``--connections``).

:class:`~cxrsync.transfer.aimd.AimdWindow` decides the number; this module makes requests wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic

from cxrsync.clock import slept_seconds
from cxrsync.config.job import TransferLimits
from cxrsync.errors import Interrupted, Throttled, Unreachable
from cxrsync.events import ConcurrencyChanged, EventSink
from cxrsync.transfer.aimd import AimdWindow

# Seconds: two clocks that are read one after the other differ by less.
_MIN_SLEEP = 1.0


async def _at_once() -> bool:
    return False


class ConcurrencyLimiter:
    """Grants slots for requests, and learns from what becomes of the requests.

    Shrinking the limit never cancels a running request; it only delays new ones.
    """

    def __init__(self, limits: TransferLimits, emit: EventSink) -> None:
        first = min(limits.first_connections, limits.connections)
        self._window = AimdWindow(first, limits.connections, monotonic())
        self._emit = emit
        self._free = asyncio.Semaphore(first)
        self._slots = self._announced = first
        self._slept = slept_seconds()
        self.active = 0
        """How many answers are being received."""

    @asynccontextmanager
    async def acquire(
        self, ready: Callable[[], Awaitable[bool]] = _at_once
    ) -> AsyncIterator[Callable[[], None]]:
        """Hold one slot for one request, which begins inside the ``async with``.

        ``ready`` waits until requests are allowed, and returns whether there was anything to wait
        for. The function that this yields is to be called when the request is answered.
        """
        await self._acquire_slot(ready)
        self._notice_sleep()
        # Only now: a request made after an outage must not count as made before it.
        token = self._window.begin_request(monotonic())

        is_answered = False

        def answered() -> None:
            nonlocal is_answered
            is_answered = True
            self.active += 1
            if self._window.record_answer(token, monotonic()):
                self._apply_window()

        try:
            yield answered
        except Interrupted:
            self._notice_sleep()
            self._window.record_interruption(token, monotonic())
            raise
        except (Unreachable, Throttled) as problem:
            self._notice_sleep()
            if isinstance(problem, Unreachable) or problem.overloaded:
                by_us = isinstance(problem, Throttled) and problem.by_us
                self._window.record_overload(token, monotonic(), by_us=by_us)
            raise
        finally:
            self.active -= is_answered
            self._window.end_request(token)
            self._free.release()
            self._apply_window()

    @property
    def size(self) -> int:
        """How many requests may be made at a time."""
        return self._window.size

    def record_bytes(self) -> None:
        """Note that bytes have arrived for some request."""
        if self._window.record_bytes(monotonic()):
            self._apply_window()

    def forget_requests(self) -> None:
        """Learn nothing from the requests so far: the connection was dead meanwhile."""
        self._window.begin_era()

    def server_down(self) -> None:
        """Note that the server is away."""
        self._window.server_down()

    def server_up(self) -> None:
        """Note that the server is back: half of the former number of requests is allowed."""
        self._window.server_up(monotonic())
        self._apply_window()

    async def _acquire_slot(self, ready: Callable[[], Awaitable[bool]]) -> None:
        await self._free.acquire()
        while True:
            while self._slots > self._window.size:  # the limit has shrunk: this slot is given up
                self._slots -= 1
                await self._free.acquire()
            try:
                waited = await ready()
            except BaseException:
                self._free.release()
                raise
            if not waited:
                return

    def _apply_window(self) -> None:
        """Make as many slots available as the window allows, and announce a changed number."""
        size = self._window.size
        while self._slots < size:
            self._slots += 1
            self._free.release()
        if size != self._announced:
            self._announced = size
            self._emit(ConcurrencyChanged(size))

    def _notice_sleep(self) -> None:
        slept = slept_seconds()
        if slept - self._slept > _MIN_SLEEP:
            self._slept = slept
            self._window.begin_era()
