"""A server that is away, or lets nobody in: one wait for all, on a clock of our own."""

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from cxrsync.engine import outage as module
from cxrsync.engine.outage import Outage
from cxrsync.errors import (
    AccessDenied,
    CredentialsRefused,
    Interrupted,
    SourceError,
    Throttled,
    Unreachable,
    Untrusted,
)
from cxrsync.model import Event, Retrying

GONE = Unreachable("gone")
DENIED = AccessDenied("403")


@dataclass
class Clock:
    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", lambda: clock.now)
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(Lock=asyncio.Lock, sleep=clock.sleep))
    monkeypatch.setattr(module, "random", SimpleNamespace(random=lambda: 1.0))
    return clock


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def outage(clock: Clock, events: list[Event]) -> Outage:
    return Outage(100.0, events.append)


# ── nobody home ────────────────────────────────────────────────────────────────────────────────


async def test_as_long_as_all_is_well_nobody_waits(outage: Outage, clock: Clock) -> None:
    await outage.clear()
    outage.well()
    await outage.clear()
    assert (clock.slept, outage.answers) == ([], 1)


async def test_pauses_double_until_an_answer_comes(
    outage: Outage, clock: Clock, events: list[Event]
) -> None:
    for _ in range(4):
        outage.away(GONE)
        await outage.clear()
    assert clock.slept == [1, 2, 4, 8]
    assert events == [Retrying("", wait, "gone") for wait in clock.slept]
    outage.well()
    outage.away(GONE)
    await outage.clear()
    assert clock.slept[4:] == [1]


async def test_eight_connections_meet_one_outage(
    outage: Outage, clock: Clock, events: list[Event]
) -> None:
    for _ in range(8):
        outage.away(GONE)
    assert len(events) == 1
    await asyncio.gather(*(outage.clear() for _ in range(8)))
    outage.away(GONE)
    assert [event.after for event in events if isinstance(event, Retrying)] == [1, 2]


@pytest.mark.parametrize(("wish", "wait"), [(30.0, 30), (0.1, 1), (None, 1), (1e9, 900)])
async def test_the_server_s_own_wish(
    outage: Outage, clock: Clock, wish: float | None, wait: float
) -> None:
    outage.away(Throttled("later", after=wish), wish)
    await outage.clear()
    assert clock.slept == [wait]


async def test_the_moment_may_move_away_while_one_waits(outage: Outage, clock: Clock) -> None:
    outage.away(GONE)
    waiting = asyncio.create_task(outage.clear())
    while not clock.slept:
        await asyncio.sleep(0)
    outage.away(GONE)  # at the first one's end another request fails
    await waiting
    assert clock.slept == [1, 2]


async def test_one_waits_for_so_long_and_no_longer(outage: Outage, clock: Clock) -> None:
    began = clock.now

    async def knock() -> None:
        for _ in range(100):
            outage.away(GONE)
            await outage.clear()

    with pytest.raises(Unreachable) as raised:
        await knock()
    assert raised.value is GONE
    assert 100 < clock.now - began <= 100 + 60


async def test_what_counts_is_how_long_it_has_been_away(outage: Outage, clock: Clock) -> None:
    outage.well()
    clock.now += 10_000  # one large file, over one connection, all that time
    outage.away(GONE)
    await outage.clear()
    clock.now += 99
    outage.flowing()  # another connection is still being served
    outage.away(GONE)
    clock.now += 101
    with pytest.raises(Unreachable):
        outage.away(GONE)


async def test_before_the_first_answer_the_clock_runs_from_the_start(
    outage: Outage, clock: Clock
) -> None:
    clock.now += 101  # a connect timeout is long
    with pytest.raises(Unreachable):
        outage.away(GONE)


async def test_who_never_proved_who_it_is_is_not_waited_for(outage: Outage, clock: Clock) -> None:
    with pytest.raises(Untrusted):
        outage.away(Untrusted("whose certificate?"))
    outage.well()
    outage.away(Untrusted("a hotel's"))  # what was right before may be right again
    await outage.clear()
    assert clock.slept == [1]


# ── no longer let in ───────────────────────────────────────────────────────────────────────────


@dataclass
class Door:
    """What each probe meets: None is an answer, and so is all that follows."""

    meets: list[SourceError | None] = field(default_factory=list)
    probes: int = 0
    inside: int = 0

    async def __call__(self) -> None:
        assert not self.inside  # one at a time
        self.inside, self.probes = 1, self.probes + 1
        await asyncio.sleep(0)
        self.inside = 0
        problem = self.meets.pop(0) if self.meets else None
        if problem is not None:
            raise problem


async def test_one_file_that_we_may_not_have(outage: Outage, clock: Clock) -> None:
    door = Door()
    assert await outage.denied(DENIED, door)
    assert (door.probes, clock.slept) == (1, [])


async def test_access_that_comes_back(outage: Outage, clock: Clock, events: list[Event]) -> None:
    door = Door([DENIED, Interrupted("cut"), Throttled("later"), GONE, DENIED])
    assert not await outage.denied(DENIED, door)
    assert clock.slept == [1, 2, 4, 8, 16]
    assert [event.reason for event in events if isinstance(event, Retrying)] == [
        "403", "cut", "later", "gone", "403",
    ]  # fmt: skip


async def test_eight_that_were_refused_together_ask_once(outage: Outage, clock: Clock) -> None:
    door = Door([DENIED])
    ends = await asyncio.gather(*(outage.denied(DENIED, door) for _ in range(8)))
    assert ends == [False] * 8  # it was not their files
    assert (door.probes, clock.slept) == (2, [1])


async def test_when_others_are_let_in_it_is_the_file(outage: Outage, clock: Clock) -> None:
    async def slow() -> None:
        await asyncio.sleep(0)
        outage.well()  # while this one asks, another connection gets its file

    door = Door()
    first = asyncio.create_task(outage.denied(DENIED, slow))
    second = asyncio.create_task(outage.denied(DENIED, door))
    assert await asyncio.gather(first, second) == [True, True]
    assert door.probes == 0


async def test_access_that_does_not_come_back(outage: Outage, clock: Clock) -> None:
    began = clock.now
    with pytest.raises(AccessDenied) as raised:
        await outage.denied(DENIED, Door([AccessDenied("still")] * 50))
    assert raised.value is DENIED
    assert 0 < clock.now - began <= 100


async def test_a_password_that_is_refused_meanwhile_is_not_tried_again(
    outage: Outage, clock: Clock
) -> None:
    with pytest.raises(CredentialsRefused):
        await outage.denied(DENIED, Door([DENIED, CredentialsRefused("no")]))
    assert clock.slept == [1]


# ── one knocks for all ─────────────────────────────────────────────────────────────────────────


async def test_one_knocks_for_eight_until_somebody_opens(outage: Outage, clock: Clock) -> None:
    answers = iter([GONE, Interrupted("dropped"), Throttled("503", after=7.0), None])
    knocks: list[float] = []

    async def probe() -> None:
        knocks.append(clock.now)
        await asyncio.sleep(0)
        problem = next(answers)
        if problem is not None:
            raise problem

    seen = outage.answers
    outage.away(GONE)
    await asyncio.gather(*(outage.knock(seen, probe) for _ in range(8)))

    assert len(knocks) == 4
    assert knocks[3] - knocks[2] >= 7.0
    assert outage.answers == seen + 1


async def test_who_was_answered_meanwhile_does_not_knock(outage: Outage) -> None:
    async def probe() -> None:
        pytest.fail("nobody needs to ask")

    seen = outage.answers
    outage.well()
    await outage.knock(seen, probe)


@pytest.mark.parametrize("final", [CredentialsRefused("no"), DENIED])
async def test_a_refusal_is_an_answer_to_a_knock(outage: Outage, final: SourceError) -> None:
    async def probe() -> None:
        raise final

    with pytest.raises(type(final)):
        await outage.knock(outage.answers, probe)


async def test_dropped_connections_for_too_long_are_a_server_that_is_away(
    outage: Outage, clock: Clock
) -> None:
    async def probe() -> None:
        clock.now += 60
        raise Interrupted("dropped again")

    with pytest.raises(Unreachable, match="dropped again"):
        await outage.knock(outage.answers, probe)
