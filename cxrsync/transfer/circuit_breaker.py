"""The circuit breaker of a run: while the server is away, all connections wait, and one probe asks.

A file must not fail because the server is down for an hour, and eight connections must not probe
eight times as often as one. What the answers mean is decided purely, by
:mod:`cxrsync.transfer.breaker_state`; this module has the clock, the random numbers and the waits.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from math import inf, isinf
from typing import Protocol

from cxrsync import humanize
from cxrsync.config.timetable import Timetable
from cxrsync.errors import (
    AccessDenied,
    CredentialsRefused,
    Interrupted,
    NotServed,
    SourceError,
    Throttled,
    Unreachable,
    Untrusted,
)
from cxrsync.events import EventSink, Retrying
from cxrsync.sources.base import SourceChanged
from cxrsync.transfer.breaker_state import BreakerState, RequestStart
from cxrsync.transfer.concurrency import ConcurrencyLimiter
from cxrsync.transfer.rate_limit import RateLimiter
from cxrsync.transfer.retry_policy import backoff

# After an outage the connections of one client, and many clients, come back at different moments.
_RETURN_SECONDS = 1.0
# The longest Retry-After, in seconds, that is shown as a date: dates have an end.
_MAX_SHOWN_SECONDS = 1e9
# Rounding may leave a wait so short that its timer fires before any time has passed.
_MIN_WAIT_SECONDS = 0.001
# A source that asks to wait for longer is left out meanwhile, if there is another.
_LONGEST_WAIT = 60.0


class LeaveOut(Protocol):
    """Leaves the server out, because it is away; returns whether it does."""

    def __call__(self, problem: SourceError, *, for_good: bool) -> bool: ...


def _cannot_leave(problem: SourceError, *, for_good: bool) -> bool:  # noqa: ARG001
    return False


class CircuitBreaker:
    """What all connections of a run know together about the server.

    ``give_up_after``: for how many seconds the server may be away before the run ends. During a
    pause of ``rate_limiter`` nothing is requested, and no time here counts one. ``leave_out``: is
    asked when the server is away, and for good when the run would end.
    """

    def __init__(
        self,
        give_up_after: float,
        emit: EventSink,
        limiter: ConcurrencyLimiter,
        rate_limiter: RateLimiter | None = None,
        leave_out: LeaveOut = _cannot_leave,
    ) -> None:
        self._give_up_after = give_up_after
        self._emit = emit
        self._limiter = limiter
        self._rate_limiter = rate_limiter or RateLimiter(Timetable())
        self._clock = self._rate_limiter.clock
        self._state = BreakerState(give_up_after)
        self._leave_out = leave_out
        self._left_out = 0
        self._outages = 0
        # When a request last began that was answered, and when access last proved to be back.
        self._last_admitted_at = -inf
        self._access_back_at = -inf
        self._probe_lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._waiting = 0

    @property
    def left_out(self) -> int:
        """How often the server was left out so far, because it was away."""
        return self._left_out

    @property
    def answers(self) -> int:
        """How many requests have been answered so far."""
        return self._state.answers

    def begin_request(self) -> RequestStart:
        """Note that a request begins. Its result is reported with the value returned here."""
        return self._state.begin_request(self._clock())

    async def wait_closed(self) -> bool:
        """Wait until a request may be made. Returns whether there was anything to wait for."""
        waited = await self._rate_limiter.wait_unpaused()
        while (wait := self._state.seconds_until_allowed(self._clock())) > 0:
            waited = True
            await self._wait_for_change(wait)
            if isinf(wait):
                await asyncio.sleep(random.random() * _RETURN_SECONDS)  # noqa: S311
            await self._rate_limiter.wait_unpaused()
        return waited

    def record_success(self, request: RequestStart) -> None:
        """Note that a request was answered with bytes: the server is there, and lets us in."""
        self._last_admitted_at = max(self._last_admitted_at, request.at)
        active = self._limiter.active + 1
        if self._state.record_success(request, self._clock(), active):
            self._outages += 1
            self._limiter.server_up()
        self._notify()

    def record_bytes(self) -> None:
        """Note that bytes have arrived, whenever they were requested: the server is there."""
        if self._state.record_bytes(self._clock()):
            self._limiter.forget_requests()
        self._limiter.record_bytes()
        self._notify()

    def record_interruption(self) -> None:
        """Note that an answer broke off; the file will be requested again."""
        self._state.record_interruption(self._clock())

    def record_failure(
        self, problem: SourceError, request: RequestStart, *, by_probe: bool = False
    ) -> None:
        """Note that no connection could be made, or that the server asks to try later.

        While no request is answered, every request waits. Raises ``problem`` once the server has
        been away for longer than the run waits, or asks the probe for a longer wait; and at once
        if its certificate was not trusted and it has never answered.
        """
        now = self._clock()
        retry_after = problem.after if isinstance(problem, Throttled) else None
        jitter = random.random()  # noqa: S311 - spreads clients in time, guards nothing
        if self.answers != request.answers:
            self._state.obey_retry_after(now, jitter, retry_after)
            return
        was_open = self._state.is_open
        wait = self._state.record_failure(
            request, now, jitter, retry_after, active=self._limiter.active, by_probe=by_probe
        )
        if self._state.is_open and not was_open:
            self._limiter.server_down()
        # The Retry-After of one path must not end the run: only the one that the probe gets does.
        is_over = self._state.should_give_up(now, retry_after if by_probe else None)
        is_long = (retry_after or 0.0) > _LONGEST_WAIT
        is_away = self._state.is_open or is_over or is_long
        if is_away and self._leave_out(problem, for_good=is_over):
            self._left_out += 1
            self._state.forget_outage()
            self._limiter.server_up()
            self._notify()
            return
        if is_over:
            raise self._final_error(problem, retry_after)
        if isinstance(problem, Untrusted) and not self.answers:
            raise problem
        if wait is not None:  # several connections meet one outage: it is shown once
            self._emit(Retrying("", wait, str(problem)))

    async def probe_until_up(
        self, request: RequestStart, probe: Callable[[], Awaitable[None]]
    ) -> bool:
        """Wait until any request has been answered since ``request`` began, or the server is left
        out.

        One of the waiting connections probes for all. Returns whether the server was away: then
        the file of ``request`` did not cause the failure.
        """
        outages, left_out = self._outages, self._left_out
        async with self._probe_lock:
            while self.answers == request.answers and left_out == self._left_out:
                await self._rate_limiter.wait_unpaused()
                if (wait := self._state.seconds_until_probe(self._clock())) > 0:
                    await self._wait_for_change(wait)
                    continue
                probing = self.begin_request()
                try:
                    await probe()
                except (CredentialsRefused, AccessDenied):
                    raise
                except (NotServed, SourceChanged):
                    self.record_success(probing)  # the server is there, whatever files it has
                except SourceError as problem:
                    self.record_failure(problem, probing, by_probe=True)
                else:
                    self.record_success(probing)
        return self._outages != outages

    async def probe_access(
        self, problem: SourceError, request: RequestStart, probe: Callable[[], Awaitable[None]]
    ) -> bool:
        """Find out whether a 403 in mid-run concerns this file only.

        Returns True if it does. Otherwise waits until access has come back, and returns False: the
        file is worth another request. ``request`` is the one that was answered with 403: if access
        was gone at any time since it began, the 403 says nothing about the file. ``probe`` requests
        the manifest, which every reader of the dataset may have.
        Raises ``problem`` once access has been gone for longer than the run waits for a server.
        """
        denied_at = self._clock()
        async with self._probe_lock:
            if request.at <= self._access_back_at:
                return False
            # Only a request made after the 403 proves that access is still there.
            if self._last_admitted_at >= denied_at:
                return True
            began = self._clock()
            failures = 0
            while True:
                await self._rate_limiter.wait_unpaused()
                try:
                    await probe()
                except CredentialsRefused:
                    raise
                except SourceError as still:  # denied again, or no answer: keep waiting
                    failures += 1
                    wait = backoff(failures, random.random())  # noqa: S311
                    if self._clock() - began + wait > self._give_up_after:
                        raise problem from None
                    self._emit(Retrying("", wait, str(still)))
                    await asyncio.sleep(wait)
                else:
                    if failures:
                        self._access_back_at = self._clock()
                    return not failures

    async def _wait_for_change(self, seconds: float) -> None:
        """Wait until the state changes, for at most so many seconds."""
        self._waiting += 1
        try:
            limit = None if isinf(seconds) else max(seconds, _MIN_WAIT_SECONDS)
            async with asyncio.timeout(limit):
                await self._changed.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting -= 1

    def _notify(self) -> None:
        if self._waiting:
            self._changed.set()
            self._changed = asyncio.Event()

    def _final_error(self, problem: SourceError, retry_after: float | None) -> SourceError:
        """The error that ends the run; it says when to come back if the server has said so."""
        if isinstance(problem, Interrupted):
            return Unreachable(str(problem))
        if not retry_after:
            return problem
        seconds = min(retry_after, _MAX_SHOWN_SECONDS)
        then = datetime.now().astimezone() + timedelta(seconds=seconds)  # in the reader's zone
        return Throttled(
            f"{problem}: not before {then:%Y-%m-%d %H:%M %Z}, in {humanize.duration(seconds)}",
            next_step=problem.next_step,
            after=seconds,
        )
