"""Outages of every kind and length, on a virtual clock: soon afterwards the rate is as before.

Transfers, concurrency limit and circuit breaker are the real ones; server and disk are simulated.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from thorough import IS_THOROUGH, spread
from transfer.virtual_clock import Clock, run

from cxrsync.config.job import TransferLimits
from cxrsync.config.timetable import parse_timetable
from cxrsync.errors import Interrupted, Throttled, Unreachable
from cxrsync.events import Event
from cxrsync.model import MANIFEST_NAME, RemotePath
from cxrsync.sources.base import Answer, Opened
from cxrsync.storage.partial import Partial
from cxrsync.storage.sidecar import ObjectVersion
from cxrsync.threads import Writers
from cxrsync.transfer import circuit_breaker as breaker_module
from cxrsync.transfer import concurrency as concurrency_module
from cxrsync.transfer import pool as pool_module
from cxrsync.transfer import rate_limit
from cxrsync.transfer import retry as recovery_module
from cxrsync.transfer import transfer as transfer_module
from cxrsync.transfer.pool import TransferPool, fetch_alone
from cxrsync.transfer.rate_limit import RateLimiter
from cxrsync.transfer.source_limits import LimitsOfSources
from cxrsync.transfer.transfer import Transfer
from cxrsync.transfer.transfer_context import TransferContext

PAUSED_HOURS = 6 if IS_THOROUGH else 1  # much longer than any timeout
PAUSE = replace(parse_timetable(f"08:00-{8 + PAUSED_HOURS:02}:00=0"), zone=UTC)
EIGHT = datetime(2026, 11, 26, 8, tzinfo=UTC)
EACH = 50_000  # bytes per second of each connection
CHUNK = 12_500
LATENCY = 0.1
CONNECT_TIMEOUT, STALL_TIMEOUT = 30.0, 60.0
OUTAGE_AT = 90.0  # seconds after the beginning, unless said otherwise
WATCHED = 70.0  # seconds after the first answer


@dataclass(frozen=True)
class OutageKind:
    """How a server is away.

    ``refuses``: the error of a new request; None: no answer, until a timeout. ``cuts``: active
    answers break off at once. Otherwise they go silent if ``silent``, and else go on.
    ``asleep``: the machine sleeps meanwhile.
    """

    refuses: Callable[[], Exception] | None
    cuts: bool = False
    silent: bool = False
    asleep: bool = False


OUTAGE_KINDS = {
    "502, answers break": OutageKind(lambda: Throttled("502", overloaded=True), cuts=True),
    "502, answers go on": OutageKind(lambda: Throttled("502", overloaded=True)),
    "503 with Retry-After": OutageKind(
        lambda: Throttled("503", after=5.0, overloaded=True), cuts=True
    ),
    "refused": OutageKind(lambda: Unreachable("refused"), cuts=True),
    "silence": OutageKind(None, silent=True),
    "no network": OutageKind(lambda: Unreachable("no such host"), silent=True),
    "asleep": OutageKind(None, asleep=True),
}


@dataclass
class SimulatedServer:
    """A source that is away for ``seconds``. ``size``: of each file."""

    clock: Clock
    kind: OutageKind
    seconds: float
    size: int
    outage_at: float = OUTAGE_AT
    identity: str = "simulated:"
    requests: int = 0
    refused: int = 0
    received: list[int] = field(default_factory=lambda: [0] * 30_000)
    asked: list[float] = field(default_factory=list)
    back_at: float | None = None

    def __post_init__(self) -> None:
        self.began = self.clock.now
        # While the machine sleeps its own clock stands still.
        lasts = 0.0 if self.kind.asleep else self.seconds
        self.down_at = self.began + self.outage_at
        self.returns_at = self.down_at + lasts

    def rate(self, begin: float, end: float) -> float:
        """Bytes per second between two moments of the clock."""
        first, last = int(begin - self.began), int(end - self.began)
        return sum(self.received[first:last]) / (last - first)

    @property
    def is_away(self) -> bool:
        return self.down_at <= self.clock.now < self.returns_at - 1e-6

    @asynccontextmanager
    async def open(
        self,
        ref: RemotePath,
        start: int = 0,
        stop: int | None = None,
        resume_if: str | None = None,
        skip_if: str | None = None,
    ) -> AsyncIterator[Answer]:
        self.requests += 1
        asked = self.clock.now
        self.asked.append(asked)
        await asyncio.sleep(LATENCY)
        if self.is_away:
            self.refused += 1
            if self.kind.refuses is not None:
                raise self.kind.refuses()
            await asyncio.sleep(CONNECT_TIMEOUT)
            raise Unreachable("timed out")
        if asked >= self.down_at:
            self._is_back()
        yield Opened(start, self.size, '"v"', 1.5e9, self._chunks(start, stop or self.size))

    async def _chunks(self, start: int, stop: int) -> AsyncIterator[bytes]:
        begun = self.clock.now
        for at in range(start, stop, CHUNK):
            await asyncio.sleep(CHUNK / EACH)
            if self.kind.asleep and begun < self.down_at <= self.clock.now:
                await asyncio.sleep(STALL_TIMEOUT)
                raise Interrupted("no answer for 60 s")
            if self.is_away and self.kind.cuts:
                raise Interrupted("reset")
            if self.is_away and self.kind.silent:
                await asyncio.sleep(min(STALL_TIMEOUT, self.returns_at - self.clock.now))
                if self.is_away:
                    raise Interrupted("no answer for 60 s")
                self._is_back()
            chunk = bytes(min(CHUNK, stop - at))
            self.received[int(self.clock.now - self.began)] += len(chunk)
            yield chunk

    def _is_back(self) -> None:
        if self.back_at is None:
            self.back_at = self.clock.now

    async def versions(self, dataset: str) -> list[str]:
        return []

    async def total(self, dataset: str, version: str) -> int | None:
        return None

    async def close(self) -> None: ...


class StubPartial:
    """A partial that keeps only its size."""

    def __init__(self) -> None:
        self.generation, self.size, self.total = 0, 0, None
        self.ranges: list[tuple[int, int]] = []
        self.object_version: ObjectVersion | None = None

    def bind(self, binding: ObjectVersion) -> None:
        self.object_version = binding

    def write(self, _offset: int, chunks: list[bytes], _generation: int) -> bool:
        self.size += sum(map(len, chunks))
        return True


async def write_at_once(call: Callable[[], Any], _size: int) -> Any:
    return call()


@dataclass
class Pull:
    """A pull that consists of transfers only.

    ``whole``: all connections fetch one large file, which is the manifest unless there is a
    ``probe``.
    """

    server: SimulatedServer
    limits: TransferLimits
    whole: bool = False
    probe: bool = False
    pause_after: float | None = None
    events: list[Event] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    async def go(self) -> None:
        emit = self.events.append
        rate_limiter = RateLimiter(PAUSE, emit, self._time_of_day)
        limits_of = LimitsOfSources(self.server, self.limits, emit, rate_limiter)
        self.limiter = limits_of.of(RemotePath("alpha", "1.0", MANIFEST_NAME)).limiter
        pool = TransferPool()
        self.context = TransferContext(
            self.server, self.limits, limits_of, emit,
            cast("Writers", SimpleNamespace(run=write_at_once)),
            self._probe if self.probe else None, pool.notify, rate_limiter,
        )  # fmt: skip
        async with asyncio.TaskGroup() as group:
            if self.whole:
                work = [group.create_task(self._fetch(pool, "manifest", self.limits.connections))]
            else:
                work = [
                    group.create_task(self._fetch_many(number))
                    for number in range(self.limits.connections)
                ]
            while self.server.back_at is None or self._clock.now < self._watched_until:
                await asyncio.sleep(1.0)
            for each in work:
                each.cancel()

    @property
    def _clock(self) -> Clock:
        return self.server.clock

    @property
    def _watched_until(self) -> float:
        back_at = self.server.back_at
        assert back_at is not None
        if self.pause_after is not None:
            back_at = max(back_at, self.server.began + self.pause_after + PAUSED_HOURS * 3600)
        return back_at + WATCHED

    def _time_of_day(self) -> datetime:
        """08:00 when the pause is to begin; always earlier where there is none."""
        if self.pause_after is None:
            return EIGHT - timedelta(hours=1)
        return EIGHT + timedelta(seconds=self._clock.now - self.server.began - self.pause_after)

    async def _probe(self) -> None:
        async with self.server.open(RemotePath("alpha", "1.0", "manifest"), 0, 1):
            pass

    async def _fetch_many(self, connection: int) -> None:
        for number in range(10_000):
            await self._fetch(TransferPool(), f"{connection}/{number}", 1)

    async def _fetch(self, pool: TransferPool, path: str, connections: int) -> None:
        transfer = Transfer(
            self.context, RemotePath("alpha", "1.0", path), cast("Partial", StubPartial())
        )
        await transfer.begin(load=False)
        await fetch_alone(pool, transfer, connections)
        if transfer.failure is not None:
            self.failures.append(transfer.failure)


AUTO = TransferLimits(
    give_up_after=7200.0, stall_timeout=STALL_TIMEOUT, connect_timeout=CONNECT_TIMEOUT
)
FIXED = TransferLimits(give_up_after=7200.0, first_connections=8)
FILE, LARGE, MANIFEST = 150_000, 300_000_000, 400_000_000


@pytest.fixture
def pull(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pull]:
    def make(
        kind: OutageKind,
        seconds: float,
        limits: TransferLimits,
        size: int = FILE,
        outage_at: float = OUTAGE_AT,
        pause_after: float | None = None,
    ) -> Pull:
        clock = Clock()
        clock.rules(
            monkeypatch,
            rate_limit,
            concurrency_module,
            transfer_module,
            recovery_module,
            pool_module,
        )
        rng = random.Random(seconds)
        for module in (breaker_module, recovery_module):
            monkeypatch.setattr(module, "random", rng)
        server = SimulatedServer(clock, kind, seconds, size, outage_at)
        done = Pull(server, limits, whole=size >= LARGE, probe=size != MANIFEST)
        done.pause_after = pause_after

        async def go() -> None:
            if kind.asleep:
                asyncio.get_running_loop().call_at(server.down_at, fall_asleep)
            await done.go()

        def fall_asleep() -> None:
            clock.slept += seconds

        run(clock, go())
        return done

    return make


CASES = [
    (kind, what, seconds)
    for kind in OUTAGE_KINDS
    for what in ("auto", "8", "the manifest")
    for seconds in (15, 300, 3600)
    # This combination makes no request during the outage.
    if (kind, what) != ("502, answers go on", "the manifest")
]


@pytest.mark.parametrize(("name", "what", "seconds"), spread(CASES, 4))
def test_soon_after_an_outage_the_rate_is_as_before(
    pull: Callable[..., Pull], name: str, what: str, seconds: float
) -> None:
    kind = OUTAGE_KINDS[name]
    size = MANIFEST if what == "the manifest" else FILE
    done = pull(kind, float(seconds), FIXED if what == "8" else AUTO, size)

    server = done.server
    assert server.back_at is not None
    before = server.rate(server.down_at - 30, server.down_at)
    assert before >= 0.95 * 8 * EACH * FILE / (FILE + EACH * LATENCY)
    assert server.rate(server.back_at + 50, server.back_at + 60) >= 0.9 * before
    assert done.limiter.size == 8
    assert done.failures == []
    # Only the requests at the beginning of the outage fail, and those of the one probe.
    assert server.refused <= 20 + seconds / 30


def test_a_server_restart_does_not_lower_the_limit(pull: Callable[..., Pull]) -> None:
    """Everything breaks at once, and the next request is answered."""
    done = pull(OUTAGE_KINDS["refused"], 0.4, AUTO)
    server = done.server
    assert server.back_at is not None
    before = server.rate(server.down_at - 30, server.down_at)
    assert server.rate(server.back_at + 10, server.back_at + 20) >= 0.9 * before
    assert done.limiter.size == 8


def test_an_outage_is_charged_once_to_a_file_with_several_connections(
    pull: Callable[..., Pull],
) -> None:
    """It costs the file one attempt, not one for each connection."""
    limits = replace(FIXED, retries=2)
    done = pull(OUTAGE_KINDS["502, answers go on"], 0.3, limits, LARGE, outage_at=0.15)
    assert done.server.refused == 7
    assert done.failures == []


@pytest.mark.parametrize("seconds", [1.0, 15.0])
def test_the_manifest_does_not_fail_for_an_outage(
    pull: Callable[..., Pull], seconds: float
) -> None:
    limits = replace(AUTO, retries=1)
    done = pull(OUTAGE_KINDS["refused"], seconds, limits, MANIFEST)
    assert done.failures == []


@pytest.mark.parametrize(
    ("size", "seconds"), [(FILE, 0.0), (FILE, 30.0), (MANIFEST, PAUSED_HOURS * 3600.0)]
)
def test_a_pause_of_the_rate_limit(pull: Callable[..., Pull], seconds: float, size: int) -> None:
    """A pause of hours begins ten seconds after the server went away: nothing is requested
    meanwhile, no timeout counts the pause, and afterwards the rate is as it was before."""
    patient = replace(AUTO, give_up_after=120.0, retries=1)
    begins, ends = int(OUTAGE_AT + 10.0), int(OUTAGE_AT + 10.0 + PAUSED_HOURS * 3600)
    kind = OUTAGE_KINDS["502, answers go on"]
    done = pull(kind, seconds, patient, size, pause_after=float(begins))
    server = done.server
    assert done.failures == []
    assert sum(server.received[begins + 2 : ends]) == 0
    assert not [at for at in server.asked if begins + 1 < at - server.began < ends]
    before = server.rate(server.down_at - 30, server.down_at)
    assert server.rate(server.began + ends + 50, server.began + ends + 60) >= 0.9 * before
