"""One rate for all connections of a run together (``--limit-rate``), by the time of day.

A rate of 0 is a pause. A stream that is not read is cut off by the server after a while, so a pause
ends every request at its next chunk, and lets none begin; what has arrived is kept, and the rest is
asked for after the pause. No timeout counts a pause: see :meth:`RateLimiter.clock`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from math import inf
from time import monotonic

from cxrsync.clock import utc_now
from cxrsync.config.timetable import Rate, Timetable
from cxrsync.events import Event, EventSink, Waiting
from cxrsync.progress_events import Resumed, Suspended

_SAVED_UP = 0.2
# A change of the rate takes hold within this, even where the clock was set or the machine slept.
_LOOK_SECONDS = 0.5


class TokenBucket:
    """How many bytes may have come so far, at a rate that may change. Pure: ``now`` is in seconds
    of one clock.

    The schedule is absolute, so that timers that fire late do not add up. An idle limiter saves up
    no more than a moment, or a rate would mean nothing after each pause. ``rate`` is in bytes per
    second; None: no limit; 0: none may come.
    """

    def __init__(self, rate: Rate | None, now: float) -> None:
        self._rate = rate
        self._at = now
        self._taken = 0.0
        self._allowed = 0.0 if rate is None else rate * _SAVED_UP

    def set_rate(self, rate: Rate | None, now: float) -> None:
        """From now on another rate. Who waits already waits by the new one."""
        self._advance(now)
        self._rate = rate

    def take(self, count: int, now: float) -> float:
        """Take ``count`` bytes, behind those who took theirs before; a mark for :meth:`wait`."""
        self._advance(now)
        self._taken += count
        return self._taken

    def wait(self, mark: float, now: float) -> float:
        """Seconds until the bytes up to ``mark`` may have come; infinite during a pause."""
        self._advance(now)
        if self._rate is None or mark <= self._allowed:
            return 0.0
        return (mark - self._allowed) / self._rate if self._rate else inf

    def _advance(self, now: float) -> None:
        passed, self._at = max(0.0, now - self._at), now
        if self._rate is None:
            self._allowed = self._taken
        else:
            most = self._taken + self._rate * _SAVED_UP
            self._allowed = min(self._allowed + self._rate * passed, most)


def _ignore(_event: Event) -> None:
    pass


class RateLimiter:
    """Whoever has received bytes waits until that many may have come.

    What is not read waits at the server, which sends no faster than it is read. The rate is the
    timetable's at ``now()``.
    """

    def __init__(
        self,
        timetable: Timetable,
        emit: EventSink = _ignore,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._timetable = timetable
        self._emit = emit
        self._now = now
        self._is_constant = len(timetable.rates) == 1
        self._rate: Rate | None = None
        self._bucket = TokenBucket(None, monotonic())
        self._look_at = -inf
        self._paused_at = 0.0
        self._paused_for = 0.0
        if self._is_constant:
            [self._rate] = timetable.rates
            self._bucket = TokenBucket(self._rate, monotonic())

    @property
    def paused(self) -> bool:
        """Whether nothing may be received now."""
        self._look(monotonic())
        return self._rate == 0

    def clock(self) -> float:
        """Seconds of a monotonic clock that stands still during a pause: what has to happen within
        a time by this clock is not late because of a pause."""
        now = monotonic()
        self._look(now)
        return (self._paused_at if self._rate == 0 else now) - self._paused_for

    async def consume(self, count: int) -> None:
        """Wait for ``count`` bytes' worth of time, behind those who took theirs before; no longer
        than until a pause begins."""
        now = monotonic()
        self._look(now)
        if self._rate is None:
            return
        mark = self._bucket.take(count, now)
        await asyncio.sleep(0)
        while self._rate != 0 and (wait := self._bucket.wait(mark, monotonic())) > 0:
            await asyncio.sleep(self._nap(wait))
            self._look(monotonic())

    async def wait_unpaused(self) -> bool:
        """Wait until the pause is over; at once where there is none. True if there was one."""
        waited = False
        while self.paused:
            waited = True
            await asyncio.sleep(_LOOK_SECONDS)
        return waited

    def _nap(self, seconds: float) -> float:
        """How long to sleep: no longer than until the next look."""
        return seconds if self._is_constant else min(seconds, _LOOK_SECONDS)

    def _look(self, now: float) -> None:
        """Take the rate that the timetable has now."""
        if self._is_constant or now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        moment = self._now()
        rate = self._timetable.rate_at(moment)
        if rate == self._rate:
            return
        if self._rate == 0:
            self._paused_for += now - self._paused_at
            self._emit(Resumed())
        self._rate = rate
        self._bucket.set_rate(rate, now)
        if rate == 0:
            self._paused_at = now
            self._emit(Suspended())
            self._say_paused(moment)

    def _say_paused(self, moment: datetime) -> None:
        until = self._timetable.next_change(moment)
        if until is None:
            return
        local = until.astimezone(self._timetable.zone)
        seconds = (until - moment).total_seconds()
        self._emit(Waiting(f"paused until {local:%H:%M} by --limit-rate", 0.0, seconds))
