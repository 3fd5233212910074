"""The limits of each source of a run: its own concurrency limit, and its own circuit breaker.

So a slow or dead source holds back no other. A file obeys the limits of the source that it is asked
of now; while that source has no room, other files are fetched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from cxrsync.config.job import TransferLimits
from cxrsync.errors import SourceError
from cxrsync.events import ConcurrencyChanged, Event, EventSink
from cxrsync.model import RemotePath
from cxrsync.sources.base import Source, are_several
from cxrsync.transfer.circuit_breaker import CircuitBreaker
from cxrsync.transfer.concurrency import ConcurrencyLimiter
from cxrsync.transfer.rate_limit import RateLimiter


class SourceLimits:
    """The limits of one source. ``connections``: how many of the run's may be at work for it."""

    def __init__(
        self, connections: int, limiter: ConcurrencyLimiter, circuit_breaker: CircuitBreaker
    ) -> None:
        self.connections = connections
        self.limiter = limiter
        self.circuit_breaker = circuit_breaker
        self.is_used = False
        self._working = 0

    @property
    def has_room(self) -> bool:
        """Whether another connection may work for the source."""
        return self._working < self.connections

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count one connection that works for the source."""
        self.is_used = True
        self._working += 1
        try:
            yield
        finally:
            self._working -= 1


class LimitsOfSources:
    """The limits of all sources of ``source``, which may be several in order."""

    def __init__(
        self,
        source: Source,
        limits: TransferLimits,
        emit: EventSink,
        rate_limiter: RateLimiter | None = None,
    ) -> None:
        self._source = source if are_several(source) else None
        self._emit = emit
        self._limits = limits
        self._rate_limiter = rate_limiter
        most = self._source.most_connections if self._source is not None else (None,)
        self._all = [self._made(number, each) for number, each in enumerate(most)]

    @property
    def connections(self) -> int:
        """How many requests of all sources together may be made at a time."""
        return sum(each.connections for each in self._all)

    def of(self, ref: RemotePath) -> SourceLimits:
        """Return the limits that a request for a file obeys now."""
        return self._all[self._source.number_of(ref) if self._source is not None else 0]

    def _made(self, number: int, most: int | None) -> SourceLimits:
        limits = self._limits
        if most is not None:
            limits = replace(
                limits,
                connections=min(most, limits.connections),
                first_connections=min(most // 2, limits.first_connections),
            )
        limiter = ConcurrencyLimiter(limits, self._announce)
        breaker = CircuitBreaker(
            limits.give_up_after,
            self._emit,
            limiter,
            self._rate_limiter,
            partial(self._leave_out, number),
        )
        return SourceLimits(limits.connections, limiter, breaker)

    def _leave_out(self, number: int, problem: SourceError, *, for_good: bool) -> bool:
        several = self._source
        return several is not None and several.leave_out(number, problem, for_good=for_good)

    def _announce(self, event: Event) -> None:
        """Emit how many requests may be made at a time, of all sources that are asked."""
        if isinstance(event, ConcurrencyChanged) and len(self._all) > 1:
            event = ConcurrencyChanged(sum(each.limiter.size for each in self._all if each.is_used))
        self._emit(event)
