"""A server that is away, or lets nobody in: one wait for all, on a clock of our own."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from transfer.virtual_clock import Clock, virtually

from cxrsync.config.job import TransferLimits
from cxrsync.errors import (
    AccessDenied,
    CredentialsRefused,
    ExitCode,
    Interrupted,
    NotFound,
    SourceError,
    Throttled,
    Unreachable,
    Untrusted,
)
from cxrsync.events import Event, Retrying
from cxrsync.transfer import circuit_breaker as module
from cxrsync.transfer import concurrency as turns_module
from cxrsync.transfer.breaker_state import FIRST_ANSWER_SECONDS
from cxrsync.transfer.circuit_breaker import CircuitBreaker
from cxrsync.transfer.concurrency import ConcurrencyLimiter

GONE = Unreachable("gone")
DENIED = AccessDenied("403")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    clock.rules(monkeypatch, module, turns_module)
    monkeypatch.setattr(module, "random", SimpleNamespace(random=lambda: 1.0))
    return clock


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def limiter(clock: Clock, events: list[Event]) -> ConcurrencyLimiter:
    return ConcurrencyLimiter(TransferLimits(), events.append)


@pytest.fixture
def circuit_breaker(limiter: ConcurrencyLimiter, events: list[Event]) -> CircuitBreaker:
    return CircuitBreaker(100.0, events.append, limiter)


def waits(events: list[Event]) -> list[float]:
    return [event.after for event in events if isinstance(event, Retrying)]


def serve(circuit_breaker: CircuitBreaker) -> None:
    """A request is answered at once."""
    circuit_breaker.record_success(circuit_breaker.asked())


@dataclass
class Probe:
    """What each probe meets: None is an answer, and so is all that follows; ``seconds``: how long
    that takes; ``at``: when each was made."""

    clock: Clock
    meets: list[SourceError | None] = field(default_factory=list)
    seconds: float = 0.0
    at: list[float] = field(default_factory=list)
    inside: int = 0

    async def __call__(self) -> None:
        assert not self.inside  # one at a time
        self.inside = 1
        self.at.append(self.clock.now)
        await asyncio.sleep(self.seconds)
        self.inside = 0
        problem = self.meets.pop(0) if self.meets else None
        if problem is not None:
            raise problem


MakeProbe = Callable[..., Probe]


@pytest.fixture
def probing(clock: Clock) -> MakeProbe:
    return lambda *meets, seconds=0.0: Probe(clock, list(meets), seconds)


async def refuse(
    circuit_breaker: CircuitBreaker, problem: SourceError, probe: Callable[[], Awaitable[None]]
) -> None:
    """A request meets ``problem``, and waits until it is clear whose fault that is."""
    request = circuit_breaker.asked()
    circuit_breaker.record_failure(problem, request)
    await circuit_breaker.probe_until_up(request, probe)


# ── nobody home ────────────────────────────────────────────────────────────────────────────────


@virtually
async def test_as_long_as_all_is_well_nobody_waits(
    clock: Clock, circuit_breaker: CircuitBreaker
) -> None:
    assert not await circuit_breaker.wait_closed()
    serve(circuit_breaker)
    assert not await circuit_breaker.wait_closed()
    assert (clock.now, circuit_breaker.answers) == (1000.0, 1)


@virtually
async def test_pauses_double_until_an_answer_comes(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe, events: list[Event]
) -> None:
    serve(circuit_breaker)
    await refuse(
        circuit_breaker, GONE, probe := probing(GONE, Interrupted("dropped"), Throttled("503"))
    )
    assert probe.at == [1001, 1003, 1007, 1015]
    assert [event for event in events if isinstance(event, Retrying)] == [
        Retrying("", 1.0, "gone"), Retrying("", 2.0, "gone"),
        Retrying("", 4.0, "dropped"), Retrying("", 8.0, "503"),
    ]  # fmt: skip
    events.clear()
    await refuse(circuit_breaker, GONE, probing())
    assert waits(events) == [1]


@virtually
async def test_eight_connections_meet_one_outage_and_one_asks(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe, events: list[Event]
) -> None:
    serve(circuit_breaker)
    probe = probing(GONE, Interrupted("dropped"), Throttled("503", after=7.0))
    await asyncio.gather(*(refuse(circuit_breaker, GONE, probe) for _ in range(8)))
    assert len(probe.at) == 4
    assert len(waits(events)) == 4
    assert probe.at[3] - probe.at[2] >= 7.0
    assert circuit_breaker.answers == 2


@virtually
async def test_nobody_else_asks_while_the_probe_does(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe
) -> None:
    serve(circuit_breaker)
    clock.now += 10
    knocking = asyncio.create_task(refuse(circuit_breaker, GONE, probe := probing(GONE, GONE)))
    await asyncio.sleep(0)
    assert await circuit_breaker.wait_closed()
    assert clock.now == probe.at[-1] + 1.0  # each comes back within a second of its own
    await knocking


@virtually
async def test_while_others_are_served_nobody_waits_for_one_refusal(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe
) -> None:
    serve(circuit_breaker)
    knocking = asyncio.create_task(refuse(circuit_breaker, GONE, probing(seconds=9.0)))
    await asyncio.sleep(0.5)
    circuit_breaker.flowing()
    assert not await circuit_breaker.wait_closed()
    serve(circuit_breaker)
    clock.now += 0.5
    await asyncio.sleep(9.0)
    await knocking


@virtually
async def test_who_was_answered_meanwhile_does_not_ask(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe
) -> None:
    request = circuit_breaker.asked()
    serve(circuit_breaker)
    circuit_breaker.record_failure(GONE, request)
    assert not await circuit_breaker.wait_closed()
    await circuit_breaker.probe_until_up(request, probe := probing())
    assert probe.at == []


@virtually
async def test_an_answer_to_somebody_else_ends_the_wait(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe
) -> None:
    serve(circuit_breaker)
    knocking = asyncio.create_task(refuse(circuit_breaker, GONE, probe := probing(*[GONE] * 9)))
    await asyncio.sleep(40)
    asked = len(probe.at)
    serve(circuit_breaker)
    began = clock.now
    await knocking
    assert (clock.now, len(probe.at)) == (began, asked)


@virtually
async def test_a_line_that_comes_back_is_asked_at_once(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe
) -> None:
    serve(circuit_breaker)
    knocking = asyncio.create_task(refuse(circuit_breaker, GONE, probe := probing(*[GONE] * 6)))
    await asyncio.sleep(70)
    asked = len(probe.at)
    circuit_breaker.flowing()  # of a request that was made before
    await knocking
    assert probe.at[asked:] == [1070]


@virtually
async def test_one_waits_for_so_long_and_no_longer(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe
) -> None:
    serve(circuit_breaker)
    with pytest.raises(Unreachable) as raised:
        await refuse(circuit_breaker, GONE, probe := probing(*[Unreachable("still")] * 50))
    assert str(raised.value) == "still"
    assert (clock.now, probe.at[-1]) == (1100, 1100)


@virtually
async def test_what_counts_is_how_long_it_has_been_away(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe
) -> None:
    request = circuit_breaker.asked()
    circuit_breaker.record_success(request)
    clock.now += 10_000  # one large file, over one connection, all that time
    circuit_breaker.flowing()
    later = circuit_breaker.asked()
    clock.now += 99
    circuit_breaker.record_failure(GONE, later)
    clock.now += 0.5
    circuit_breaker.flowing()  # another connection is still being served
    clock.now += 99
    circuit_breaker.record_failure(GONE, later)
    clock.now += 1
    with pytest.raises(Unreachable):
        circuit_breaker.record_failure(GONE, later)


@virtually
async def test_the_first_answer_is_not_waited_for_as_long(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe
) -> None:
    with pytest.raises(Unreachable):
        await refuse(circuit_breaker, GONE, probing(*[GONE] * 50))
    assert clock.now == 1000 + FIRST_ANSWER_SECONDS


@virtually
async def test_a_connect_timeout_is_long_enough_for_a_first_answer(
    clock: Clock, circuit_breaker: CircuitBreaker
) -> None:
    request = circuit_breaker.asked()
    clock.now += 30
    with pytest.raises(Unreachable):
        circuit_breaker.record_failure(GONE, request)


@virtually
async def test_dropped_connections_for_too_long_are_a_server_that_is_away(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe
) -> None:
    serve(circuit_breaker)
    dropped = [Interrupted("dropped again")] * 9
    with pytest.raises(Unreachable, match="dropped again"):
        await refuse(circuit_breaker, GONE, probing(*dropped, seconds=60))


@virtually
async def test_who_never_proved_who_it_is_is_not_waited_for(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe
) -> None:
    untrusted = Untrusted("whose certificate?")
    with pytest.raises(Untrusted):
        circuit_breaker.record_failure(untrusted, circuit_breaker.asked())
    serve(circuit_breaker)
    await refuse(circuit_breaker, untrusted, probing())  # what was right before may be right again


@pytest.mark.parametrize("final", [CredentialsRefused("no"), DENIED])
@virtually
async def test_a_refusal_is_an_answer_to_a_probe(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe, final: SourceError
) -> None:
    with pytest.raises(type(final)):
        await refuse(circuit_breaker, GONE, probing(final))


@virtually
async def test_a_server_without_the_manifest_is_there(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe
) -> None:
    serve(circuit_breaker)
    await refuse(circuit_breaker, GONE, probe := probing(NotFound("404"), GONE))
    assert len(probe.at) == 1


# ── the server's own wish ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wish", "wait"), [(30.0, 33), (0.1, 1), (None, 1), (0.0, 1), (-5.0, 1), (95.0, 100)]
)
@virtually
async def test_the_servers_wish(
    clock: Clock,
    circuit_breaker: CircuitBreaker,
    probing: MakeProbe,
    wish: float | None,
    wait: float,
) -> None:
    serve(circuit_breaker)
    knocking = asyncio.create_task(
        refuse(circuit_breaker, Throttled("later", after=wish), probe := probing())
    )
    await asyncio.sleep(0)
    await circuit_breaker.wait_closed()
    await knocking
    assert probe.at == [1000 + wait]


@virtually
async def test_a_wish_is_every_requests(clock: Clock, circuit_breaker: CircuitBreaker) -> None:
    """Also where others are served: it is the server's word."""
    request = circuit_breaker.asked()
    serve(circuit_breaker)
    circuit_breaker.record_failure(Throttled("later", after=20.0), request)
    assert await circuit_breaker.wait_closed()
    assert clock.now == 1022


@pytest.mark.parametrize("wish", [101.0, 86_400.0, 1e30])
@virtually
async def test_a_wish_that_is_too_long_ends_the_run_at_once_if_it_is_the_servers(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe, wish: float
) -> None:
    later = Throttled("try later (503)", after=wish)
    with pytest.raises(Throttled, match="not before") as ended:
        await refuse(circuit_breaker, later, probe := probing(later))
    assert probe.at == [1001]
    assert ended.value.exit_code is ExitCode.UNREACHABLE


@virtually
async def test_a_wish_that_is_too_long_does_not_end_the_run_if_it_is_one_files(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe
) -> None:
    await refuse(circuit_breaker, Throttled("later", after=1e9), probing())
    assert not await circuit_breaker.wait_closed()


@virtually
async def test_no_wish_is_slept_past_the_end_of_patience(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe
) -> None:
    serve(circuit_breaker)
    later = Throttled("later", after=45.0)
    with pytest.raises(Throttled, match="not before"):
        await refuse(circuit_breaker, later, probe := probing(later, later, later))
    assert clock.now <= 1100
    assert len(probe.at) == 2  # the third would be at 148


# ── no longer let in ───────────────────────────────────────────────────────────────────────────


@virtually
async def test_one_file_that_we_may_not_have(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe
) -> None:
    assert await circuit_breaker.probe_access(DENIED, circuit_breaker.asked(), probe := probing())
    assert (probe.at, clock.now) == ([1000], 1000)


@virtually
async def test_access_that_comes_back(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe, events: list[Event]
) -> None:
    probe = probing(DENIED, Interrupted("cut"), Throttled("later"), GONE, DENIED)
    assert not await circuit_breaker.probe_access(DENIED, circuit_breaker.asked(), probe)
    assert waits(events) == [1, 2, 4, 8, 16]
    assert [event.reason for event in events if isinstance(event, Retrying)] == [
        "403", "cut", "later", "gone", "403",
    ]  # fmt: skip


@virtually
async def test_eight_that_were_refused_together_ask_once(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe
) -> None:
    probe = probing(DENIED)
    ends = await asyncio.gather(
        *(circuit_breaker.probe_access(DENIED, circuit_breaker.asked(), probe) for _ in range(8))
    )
    assert ends == [False] * 8  # it was not their files
    assert probe.at == [1000, 1001]


@virtually
async def test_when_others_are_let_in_it_is_the_file(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe
) -> None:
    async def slow() -> None:
        await asyncio.sleep(0)
        serve(circuit_breaker)  # while this one asks, another connection gets its file

    first = asyncio.create_task(circuit_breaker.probe_access(DENIED, circuit_breaker.asked(), slow))
    second = asyncio.create_task(
        circuit_breaker.probe_access(DENIED, circuit_breaker.asked(), probe := probing())
    )
    assert await asyncio.gather(first, second) == [True, True]
    assert probe.at == []


@virtually
async def test_a_403_to_a_request_made_before_access_came_back_is_not_the_files(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe
) -> None:
    slow = circuit_breaker.asked()  # its 403 takes longer than the outage of access
    assert not await circuit_breaker.probe_access(DENIED, circuit_breaker.asked(), probing(DENIED))
    assert not await circuit_breaker.probe_access(DENIED, slow, probe := probing())
    assert probe.at == []
    await asyncio.sleep(1)
    assert await circuit_breaker.probe_access(DENIED, circuit_breaker.asked(), probe)


@virtually
async def test_an_answer_to_a_request_made_before_the_403_proves_no_access(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe
) -> None:
    earlier = circuit_breaker.asked()
    await asyncio.sleep(1)

    async def slow() -> None:
        await asyncio.sleep(0)
        circuit_breaker.record_success(earlier)  # let in before access was withdrawn

    one, two = circuit_breaker.asked(), circuit_breaker.asked()
    first = asyncio.create_task(circuit_breaker.probe_access(DENIED, one, slow))
    probe = probing(DENIED)
    second = asyncio.create_task(circuit_breaker.probe_access(DENIED, two, probe))
    assert await asyncio.gather(first, second) == [True, False]
    assert probe.at == [1001, 1002]


@virtually
async def test_access_that_does_not_come_back(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe
) -> None:
    with pytest.raises(AccessDenied) as raised:
        await circuit_breaker.probe_access(
            DENIED, circuit_breaker.asked(), probing(*[AccessDenied("still")] * 50)
        )
    assert raised.value is DENIED
    assert 1000 < clock.now <= 1100


@virtually
async def test_a_password_that_is_refused_meanwhile_is_not_tried_again(
    clock: Clock, circuit_breaker: CircuitBreaker, probing: MakeProbe
) -> None:
    with pytest.raises(CredentialsRefused):
        await circuit_breaker.probe_access(
            DENIED, circuit_breaker.asked(), probe := probing(DENIED, CredentialsRefused("no"))
        )
    assert probe.at == [1000, 1001]
