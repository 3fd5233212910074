"""When the whole server is away or refuses everyone: one wait for all connections, then go on.

A file does not fail because the server is down for an hour, and eight connections do not knock
eight times as often as one. What the answers mean is :mod:`cxrsync.transfer.breaker_state`'s.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from math import inf, isinf
from time import monotonic

from cxrsync import humanize
from cxrsync.errors import (
    AccessDenied,
    CredentialsRefused,
    Interrupted,
    NotFound,
    SourceError,
    Throttled,
    Unreachable,
    Untrusted,
)
from cxrsync.events import EventSink, Retrying
from cxrsync.transfer.breaker_state import BreakerState, Request
from cxrsync.transfer.concurrency import ConcurrencyLimiter
from cxrsync.transfer.retry_policy import backoff

# After an outage the connections of one client, and many clients, come back one by one.
_RETURN_SECONDS = 1.0
# A Retry-After beyond that, in seconds, is told as that: dates have an end.
_LONGEST_TOLD = 1e9


class CircuitBreaker:
    """What all connections of a run know together about the server."""

    def __init__(self, give_up_after: float, emit: EventSink, limiter: ConcurrencyLimiter) -> None:
        self._give_up_after = give_up_after
        self._emit = emit
        self._limiter = limiter
        self._state = BreakerState(give_up_after)
        self._outages = 0
        # When a request last began that was answered, and when access last proved to be back.
        self._last_admitted_at = -inf
        self._access_back_at = -inf
        self._probe = asyncio.Lock()
        self._news = asyncio.Event()
        self._waiting = 0

    @property
    def answers(self) -> int:
        """How many requests have been answered so far."""
        return self._state.answers

    def asked(self) -> Request:
        """A request begins; given back with what becomes of it."""
        return self._state.asked(monotonic())

    async def wait_closed(self) -> bool:
        """Wait until a request may be made. True if that took a while."""
        waited = False
        while (wait := self._state.hold(monotonic())) > 0:
            waited = True
            await self._wait(wait)
            if isinf(wait):
                await asyncio.sleep(random.random() * _RETURN_SECONDS)  # noqa: S311
        return waited

    def record_success(self, request: Request) -> None:
        """A request was answered with bytes: the server is there, and lets us in."""
        self._last_admitted_at = max(self._last_admitted_at, request.at)
        if self._state.answered(request, monotonic(), self._limiter.under_way + 1):
            self._outages += 1
            self._limiter.back()
        self._tell()

    def flowing(self) -> None:
        """Bytes arrive, whenever they were asked for: the server is there."""
        if self._state.flowing(monotonic()):
            self._limiter.lapse()
        self._limiter.flowing()
        self._tell()

    def broke(self) -> None:
        """An answer broke off; the file will be asked for again."""
        self._state.broke(monotonic())

    def record_failure(
        self, problem: SourceError, request: Request, *, by_probe: bool = False
    ) -> None:
        """No connection, or "try later": where nobody is answered, every request waits for a while.

        Raises ``problem`` once the server has been away for longer than the run is to wait, or asks
        the probe for more; and at once where it has never proved who it is.
        """
        now = monotonic()
        wish = problem.after if isinstance(problem, Throttled) else None
        jitter = random.random()  # noqa: S311 - spreads clients in time, guards nothing
        if self.answers != request.answers:
            self._state.heed(now, jitter, wish)
            return
        was_open = self._state.is_open
        wait = self._state.refused(
            request, now, jitter, wish, under_way=self._limiter.under_way, by_probe=by_probe
        )
        if self._state.is_open and not was_open:
            self._limiter.away()
        # One path's wish must not end the run: the probe is asked what the server wishes.
        if self._state.is_hopeless(now, wish if by_probe else None):
            raise self._farewell(problem, wish)
        if isinstance(problem, Untrusted) and not self.answers:
            raise problem
        if wait is not None:  # several connections meet one outage: it is told once
            self._emit(Retrying("", wait, str(problem)))

    async def probe_until_up(self, request: Request, probe: Callable[[], Awaitable[None]]) -> bool:
        """One asks for all whether the server is back; returns once anybody has been answered since
        ``request`` was made. True if the server was away: then it was not this file's fault."""
        outages = self._outages
        async with self._probe:
            while self.answers == request.answers:
                if (wait := self._state.probe_in(monotonic())) > 0:
                    await self._wait(wait)
                    continue
                probing = self.asked()
                try:
                    await probe()
                except (CredentialsRefused, AccessDenied):
                    raise
                except NotFound:
                    self.record_success(probing)  # the server is there, whatever it has
                except SourceError as still:
                    self.record_failure(still, probing, by_probe=True)
                else:
                    self.record_success(probing)
        return self._outages != outages

    async def probe_access(
        self, problem: SourceError, request: Request, probe: Callable[[], Awaitable[None]]
    ) -> bool:
        """Find out whether a 403 in mid-run concerns this file only.

        Returns True if it does. Otherwise waits until access has come back, and returns False: the
        file is worth another request. ``request`` is the one that was answered with 403: if access
        was gone at any time since it began, the 403 says nothing about the file. ``probe`` requests
        the manifest, which every reader of the dataset may have.
        Raises ``problem`` once access has been gone for longer than the run waits for a server.
        """
        denied_at = monotonic()
        async with self._probe:
            if request.at <= self._access_back_at:
                return False
            # Only a request made after the 403 proves that access is still there.
            if self._last_admitted_at >= denied_at:
                return True
            began = monotonic()
            failures = 0
            while True:
                try:
                    await probe()
                except CredentialsRefused:
                    raise
                except SourceError as still:  # still denied, or no answer: either tells nothing new
                    failures += 1
                    wait = backoff(failures, random.random())  # noqa: S311
                    if monotonic() - began + wait > self._give_up_after:
                        raise problem from None
                    self._emit(Retrying("", wait, str(still)))
                    await asyncio.sleep(wait)
                else:
                    if failures:
                        self._access_back_at = monotonic()
                    return not failures

    async def _wait(self, seconds: float) -> None:
        """Until there is news, but no longer."""
        self._waiting += 1
        try:
            async with asyncio.timeout(None if isinf(seconds) else seconds):
                await self._news.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting -= 1

    def _tell(self) -> None:
        if self._waiting:
            self._news.set()
            self._news = asyncio.Event()

    def _farewell(self, problem: SourceError, wish: float | None) -> SourceError:
        """What ends the run: the problem, and when to come back where the server has said so."""
        if isinstance(problem, Interrupted):
            return Unreachable(str(problem))
        if not wish:
            return problem
        wish = min(wish, _LONGEST_TOLD)
        then = datetime.now().astimezone() + timedelta(seconds=wish)  # of the reader's own zone
        return Throttled(
            f"{problem}: not before {then:%Y-%m-%d %H:%M %Z}, in {humanize.duration(wish)}",
            after=wish,
        )
