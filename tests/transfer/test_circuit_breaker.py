"""The circuit breaker on a virtual clock: a server that is away, or denies access."""

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
from cxrsync.transfer import concurrency as concurrency_module
from cxrsync.transfer import rate_limit
from cxrsync.transfer.breaker_state import FIRST_ANSWER_SECONDS
from cxrsync.transfer.circuit_breaker import CircuitBreaker
from cxrsync.transfer.concurrency import ConcurrencyLimiter

GONE = Unreachable("gone")
DENIED = AccessDenied("403")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    clock.rules(monkeypatch, rate_limit, concurrency_module)
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


def answer_request(circuit_breaker: CircuitBreaker) -> None:
    """Let a request be answered at once."""
    circuit_breaker.record_success(circuit_breaker.begin_request())


@dataclass
class Probe:
    """A probe. ``results``: how each ends; None, and each after the last, is an answer.

    ``seconds``: how long each takes. ``at``: when each was made.
    """

    clock: Clock
    results: list[SourceError | None] = field(default_factory=list)
    seconds: float = 0.0
    at: list[float] = field(default_factory=list)
    inside: int = 0

    async def __call__(self) -> None:
        assert not self.inside  # one at a time
        self.inside = 1
        self.at.append(self.clock.now)
        await asyncio.sleep(self.seconds)
        self.inside = 0
        problem = self.results.pop(0) if self.results else None
        if problem is not None:
            raise problem


MakeProbe = Callable[..., Probe]


@pytest.fixture
def make_probe(clock: Clock) -> MakeProbe:
    return lambda *results, seconds=0.0: Probe(clock, list(results), seconds)


async def fail(
    circuit_breaker: CircuitBreaker, problem: SourceError, probe: Callable[[], Awaitable[None]]
) -> None:
    """Let a request fail with ``problem``, and wait until a request has been answered."""
    request = circuit_breaker.begin_request()
    circuit_breaker.record_failure(problem, request)
    await circuit_breaker.probe_until_up(request, probe)


# ── a server that is away ────────────────────────────────────────────────────────────────────────


@virtually
async def test_no_request_waits_while_all_are_answered(
    clock: Clock, circuit_breaker: CircuitBreaker
) -> None:
    assert not await circuit_breaker.wait_closed()
    answer_request(circuit_breaker)
    assert not await circuit_breaker.wait_closed()
    assert (clock.now, circuit_breaker.answers) == (1000.0, 1)


@virtually
async def test_the_backoff_doubles_until_an_answer_comes(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe, events: list[Event]
) -> None:
    answer_request(circuit_breaker)
    await fail(
        circuit_breaker, GONE, probe := make_probe(GONE, Interrupted("dropped"), Throttled("503"))
    )
    assert probe.at == [1001, 1003, 1007, 1015]
    assert [event for event in events if isinstance(event, Retrying)] == [
        Retrying("", 1.0, "gone"), Retrying("", 2.0, "gone"),
        Retrying("", 4.0, "dropped"), Retrying("", 8.0, "503"),
    ]  # fmt: skip
    events.clear()
    await fail(circuit_breaker, GONE, make_probe())
    assert waits(events) == [1]


@virtually
async def test_eight_connections_share_one_probe(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe, events: list[Event]
) -> None:
    answer_request(circuit_breaker)
    probe = make_probe(GONE, Interrupted("dropped"), Throttled("503", after=7.0))
    await asyncio.gather(*(fail(circuit_breaker, GONE, probe) for _ in range(8)))
    assert len(probe.at) == 4
    assert len(waits(events)) == 4
    assert probe.at[3] - probe.at[2] >= 7.0
    assert circuit_breaker.answers == 2


@virtually
async def test_no_request_is_allowed_while_the_probe_runs(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe
) -> None:
    answer_request(circuit_breaker)
    clock.now += 10
    waiting = asyncio.create_task(fail(circuit_breaker, GONE, probe := make_probe(GONE, GONE)))
    await asyncio.sleep(0)
    assert await circuit_breaker.wait_closed()
    assert (
        clock.now == probe.at[-1] + 1.0
    )  # each connection comes back after a random part of a second
    await waiting


@virtually
async def test_one_failure_makes_no_request_wait_while_others_are_served(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe
) -> None:
    answer_request(circuit_breaker)
    waiting = asyncio.create_task(fail(circuit_breaker, GONE, make_probe(seconds=9.0)))
    await asyncio.sleep(0.5)
    circuit_breaker.record_bytes()
    assert not await circuit_breaker.wait_closed()
    answer_request(circuit_breaker)
    clock.now += 0.5
    await asyncio.sleep(9.0)
    await waiting


@virtually
async def test_no_probe_after_an_answer_to_a_later_request(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe
) -> None:
    request = circuit_breaker.begin_request()
    answer_request(circuit_breaker)
    circuit_breaker.record_failure(GONE, request)
    assert not await circuit_breaker.wait_closed()
    await circuit_breaker.probe_until_up(request, probe := make_probe())
    assert probe.at == []


@virtually
async def test_an_answer_to_another_request_ends_the_wait(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe
) -> None:
    answer_request(circuit_breaker)
    waiting = asyncio.create_task(fail(circuit_breaker, GONE, probe := make_probe(*[GONE] * 9)))
    await asyncio.sleep(40)
    asked = len(probe.at)
    answer_request(circuit_breaker)
    began = clock.now
    await waiting
    assert (clock.now, len(probe.at)) == (began, asked)


@virtually
async def test_bytes_after_a_silence_lead_to_a_probe_at_once(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe
) -> None:
    answer_request(circuit_breaker)
    waiting = asyncio.create_task(fail(circuit_breaker, GONE, probe := make_probe(*[GONE] * 6)))
    await asyncio.sleep(70)
    asked = len(probe.at)
    circuit_breaker.record_bytes()  # of an earlier request
    await waiting
    assert probe.at[asked:] == [1070]


@virtually
async def test_the_run_waits_no_longer_than_give_up_after(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe
) -> None:
    answer_request(circuit_breaker)
    with pytest.raises(Unreachable) as raised:
        await fail(circuit_breaker, GONE, probe := make_probe(*[Unreachable("still")] * 50))
    assert str(raised.value) == "still"
    assert (clock.now, probe.at[-1]) == (1100, 1100)


@virtually
async def test_the_wait_counts_from_the_beginning_of_the_outage(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe
) -> None:
    request = circuit_breaker.begin_request()
    circuit_breaker.record_success(request)
    clock.now += 10_000  # one large file over one connection
    circuit_breaker.record_bytes()
    later = circuit_breaker.begin_request()
    clock.now += 99
    circuit_breaker.record_failure(GONE, later)
    clock.now += 0.5
    circuit_breaker.record_bytes()  # another connection still receives bytes
    clock.now += 99
    circuit_breaker.record_failure(GONE, later)
    clock.now += 1
    with pytest.raises(Unreachable):
        circuit_breaker.record_failure(GONE, later)


@virtually
async def test_the_wait_for_the_first_answer_is_shorter(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe
) -> None:
    with pytest.raises(Unreachable):
        await fail(circuit_breaker, GONE, make_probe(*[GONE] * 50))
    assert clock.now == 1000 + FIRST_ANSWER_SECONDS


@virtually
async def test_a_connect_timeout_is_as_long_as_the_wait_for_the_first_answer(
    clock: Clock, circuit_breaker: CircuitBreaker
) -> None:
    request = circuit_breaker.begin_request()
    clock.now += 30
    with pytest.raises(Unreachable):
        circuit_breaker.record_failure(GONE, request)


@virtually
async def test_connections_dropped_for_too_long_mean_that_the_server_is_away(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe
) -> None:
    answer_request(circuit_breaker)
    dropped = [Interrupted("dropped again")] * 9
    with pytest.raises(Unreachable, match="dropped again"):
        await fail(circuit_breaker, GONE, make_probe(*dropped, seconds=60))


@virtually
async def test_an_untrusted_server_that_never_answered_is_not_waited_for(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe
) -> None:
    untrusted = Untrusted("whose certificate?")
    with pytest.raises(Untrusted):
        circuit_breaker.record_failure(untrusted, circuit_breaker.begin_request())
    answer_request(circuit_breaker)
    await fail(circuit_breaker, untrusted, make_probe())  # it was trusted before, and may be again


@pytest.mark.parametrize("final", [CredentialsRefused("no"), DENIED])
@virtually
async def test_a_refusal_of_the_probe_ends_the_run(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe, final: SourceError
) -> None:
    with pytest.raises(type(final)):
        await fail(circuit_breaker, GONE, make_probe(final))


@virtually
async def test_404_for_the_probe_means_that_the_server_is_there(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe
) -> None:
    answer_request(circuit_breaker)
    await fail(circuit_breaker, GONE, probe := make_probe(NotFound("404"), GONE))
    assert len(probe.at) == 1


# ── Retry-After ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("retry_after", "wait"), [(30.0, 33), (0.1, 1), (None, 1), (0.0, 1), (-5.0, 1), (95.0, 100)]
)
@virtually
async def test_retry_after(
    clock: Clock,
    circuit_breaker: CircuitBreaker,
    make_probe: MakeProbe,
    retry_after: float | None,
    wait: float,
) -> None:
    answer_request(circuit_breaker)
    waiting = asyncio.create_task(
        fail(circuit_breaker, Throttled("later", after=retry_after), probe := make_probe())
    )
    await asyncio.sleep(0)
    await circuit_breaker.wait_closed()
    await waiting
    assert probe.at == [1000 + wait]


@virtually
async def test_retry_after_holds_for_every_request(
    clock: Clock, circuit_breaker: CircuitBreaker
) -> None:
    """Also while other requests are served."""
    request = circuit_breaker.begin_request()
    answer_request(circuit_breaker)
    circuit_breaker.record_failure(Throttled("later", after=20.0), request)
    assert await circuit_breaker.wait_closed()
    assert clock.now == 1022


@pytest.mark.parametrize("retry_after", [101.0, 86_400.0, 1e30])
@virtually
async def test_a_retry_after_that_is_too_long_ends_the_run_if_the_probe_gets_it(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe, retry_after: float
) -> None:
    later = Throttled("try later (503)", after=retry_after)
    with pytest.raises(Throttled, match="not before") as ended:
        await fail(circuit_breaker, later, probe := make_probe(later))
    assert probe.at == [1001]
    assert ended.value.exit_code is ExitCode.UNREACHABLE


@virtually
async def test_a_retry_after_of_one_file_does_not_end_the_run(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe
) -> None:
    await fail(circuit_breaker, Throttled("later", after=1e9), make_probe())
    assert not await circuit_breaker.wait_closed()


@virtually
async def test_retry_after_never_makes_the_run_wait_longer_than_give_up_after(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe
) -> None:
    answer_request(circuit_breaker)
    later = Throttled("later", after=45.0)
    with pytest.raises(Throttled, match="not before"):
        await fail(circuit_breaker, later, probe := make_probe(later, later, later))
    assert clock.now <= 1100
    assert len(probe.at) == 2  # the third would be at 148


# ── access denied ────────────────────────────────────────────────────────────────────────────────


@virtually
async def test_403_for_one_file(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe
) -> None:
    assert await circuit_breaker.probe_access(
        DENIED, circuit_breaker.begin_request(), probe := make_probe()
    )
    assert (probe.at, clock.now) == ([1000], 1000)


@virtually
async def test_access_that_comes_back(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe, events: list[Event]
) -> None:
    probe = make_probe(DENIED, Interrupted("cut"), Throttled("later"), GONE, DENIED)
    assert not await circuit_breaker.probe_access(DENIED, circuit_breaker.begin_request(), probe)
    assert waits(events) == [1, 2, 4, 8, 16]
    assert [event.reason for event in events if isinstance(event, Retrying)] == [
        "403", "cut", "later", "gone", "403",
    ]  # fmt: skip


@virtually
async def test_eight_requests_denied_together_share_one_probe(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe
) -> None:
    probe = make_probe(DENIED)
    ends = await asyncio.gather(
        *(
            circuit_breaker.probe_access(DENIED, circuit_breaker.begin_request(), probe)
            for _ in range(8)
        )
    )
    assert ends == [False] * 8  # their files are not to blame
    assert probe.at == [1000, 1001]


@virtually
async def test_an_answer_to_a_later_request_shows_that_403_concerns_the_file(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe
) -> None:
    async def slow() -> None:
        await asyncio.sleep(0)
        answer_request(circuit_breaker)  # during the probe another connection gets its file

    first = asyncio.create_task(
        circuit_breaker.probe_access(DENIED, circuit_breaker.begin_request(), slow)
    )
    second = asyncio.create_task(
        circuit_breaker.probe_access(DENIED, circuit_breaker.begin_request(), probe := make_probe())
    )
    assert await asyncio.gather(first, second) == [True, True]
    assert probe.at == []


@virtually
async def test_403_for_a_request_made_before_access_came_back_is_not_the_files(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe
) -> None:
    slow = circuit_breaker.begin_request()  # its 403 takes longer than the outage of access
    assert not await circuit_breaker.probe_access(
        DENIED, circuit_breaker.begin_request(), make_probe(DENIED)
    )
    assert not await circuit_breaker.probe_access(DENIED, slow, probe := make_probe())
    assert probe.at == []
    await asyncio.sleep(1)
    assert await circuit_breaker.probe_access(DENIED, circuit_breaker.begin_request(), probe)


@virtually
async def test_an_answer_to_a_request_made_before_the_403_proves_no_access(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe
) -> None:
    earlier = circuit_breaker.begin_request()
    await asyncio.sleep(1)

    async def slow() -> None:
        await asyncio.sleep(0)
        circuit_breaker.record_success(earlier)  # admitted before access was withdrawn

    one, two = circuit_breaker.begin_request(), circuit_breaker.begin_request()
    first = asyncio.create_task(circuit_breaker.probe_access(DENIED, one, slow))
    probe = make_probe(DENIED)
    second = asyncio.create_task(circuit_breaker.probe_access(DENIED, two, probe))
    assert await asyncio.gather(first, second) == [True, False]
    assert probe.at == [1001, 1002]


@virtually
async def test_access_that_does_not_come_back(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe
) -> None:
    with pytest.raises(AccessDenied) as raised:
        await circuit_breaker.probe_access(
            DENIED, circuit_breaker.begin_request(), make_probe(*[AccessDenied("still")] * 50)
        )
    assert raised.value is DENIED
    assert 1000 < clock.now <= 1100


@virtually
async def test_a_password_refused_meanwhile_is_not_sent_again(
    clock: Clock, circuit_breaker: CircuitBreaker, make_probe: MakeProbe
) -> None:
    with pytest.raises(CredentialsRefused):
        await circuit_breaker.probe_access(
            DENIED,
            circuit_breaker.begin_request(),
            probe := make_probe(DENIED, CredentialsRefused("no")),
        )
    assert probe.at == [1000, 1001]
