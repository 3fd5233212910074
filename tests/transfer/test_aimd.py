"""The AIMD window: its rules, and simulated servers of all kinds on a simulated clock."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import IS_THOROUGH, examples, spread

from cxrsync.transfer.aimd import FIRST_PATIENCE, STEP_SECONDS, AimdWindow, RequestToken
from cxrsync.transfer.breaker_state import BreakerState, RequestStart
from cxrsync.transfer.retry_policy import backoff

KB = 1000
FIRST, MOST = 4, 8
MINUTES = 10
TICK = 0.1


@dataclass(frozen=True)
class Server:
    """A server as its clients see it: bytes per second, seconds.

    ``capacity``: a request beyond so many fails after ``refusal`` seconds. ``resets``: by a broken
    connection instead of a status. ``noise``: the standard deviation of the rates'
    logarithm. ``breaks``: the share of answers that break off.
    """

    each: float = 50 * KB
    together: float = 1e12
    capacity: int = MOST
    refusal: float = 0.2
    resets: bool = False
    noise: float = 0.0
    breaks: float = 0.0
    file: int = 150 * KB
    latency: float = 0.1


@dataclass(frozen=True)
class Outage:
    """The server is away for ``seconds``; requests made meanwhile fail after ``refusal`` seconds.

    ``cuts``: active answers break off; else they go on to their end, as from a proxy whose own
    server is down. ``silent``: they stop, and break off that many seconds later.
    """

    seconds: float
    refusal: float = 0.1
    cuts: bool = True
    silent: float = 0.0
    at: float = 120.0
    every: float = 1e12
    capacity: int | None = None
    """The server's capacity from then on."""

    def covers(self, now: float) -> bool:
        return now >= self.at and (now - self.at) % self.every < self.seconds


@dataclass
class Worker:
    """One connection: waits until ``ready``, then (if ``left``) receives."""

    ready: float = 0.0
    left: float = 0.0
    rate: float = 0.0
    asking: bool = False
    refused: bool = False
    failures: int = 0
    waits: bool = False  # for any answer: perhaps the server is away
    token: RequestToken | None = None
    request: RequestStart | None = None

    @property
    def busy(self) -> bool:
        return self.asking or self.left > 0


@dataclass
class SimulatedRun:
    """A run. ``received`` counts the bytes of each second; requests are counted from the beginning.

    Besides its workers there is one probe, which makes a request when the breaker says so.
    """

    server: Server
    first: int
    most: int
    minutes: float = MINUTES
    outage: Outage | None = None
    received: list[float] = field(default_factory=list)
    requests: int = 0
    failed: int = 0
    probes: int = 0
    back_at: float | None = None
    """When the first probe after the outage was answered."""

    def __post_init__(self) -> None:
        self.rng = random.Random(f"{self.server}")
        self.window = AimdWindow(self.first, self.most, 0.0)
        self.breaker = BreakerState(7200.0)
        self.workers = [Worker() for _ in range(self.most)]
        self.probe = Worker()
        self.received = [0.0] * (int(self.minutes * 60) + 1)
        for tick in range(int(self.minutes * 60 / TICK)):
            self._tick(tick * TICK)

    def rate(self, begin: float, end: float) -> float:
        """Bytes per second between two moments."""
        return sum(self.received[int(begin) : int(end)]) / (int(end) - int(begin))

    def _tick(self, now: float) -> None:
        is_down = self.outage is not None and self.outage.covers(now)
        self._run_probe(now, is_down)
        for worker in self.workers:
            if worker.waits and worker.request.answers != self.breaker.answers:
                worker.waits, worker.ready = False, now + backoff(worker.failures, 1.0)
            if worker.waits or now < worker.ready:
                continue
            if worker.asking:
                self._answer(worker, now)
            elif worker.left <= 0 and self._may_request(now):
                served = sum(each.busy and not each.refused for each in self.workers)
                self._begin_request(worker, now, is_down, served)
                worker.token = self.window.begin_request(now)
                self.requests += 1
        self._receive(now, is_down)

    def _may_request(self, now: float) -> bool:
        busy = sum(each.busy for each in self.workers)
        return busy < self.window.size and self.breaker.seconds_until_allowed(now) == 0

    def _begin_request(self, worker: Worker, now: float, is_down: bool, served: int) -> None:
        capacity = self.server.capacity
        if self.outage is not None and self.outage.capacity is not None and now >= self.outage.at:
            capacity = self.outage.capacity
        worker.asking, worker.refused = True, is_down or served >= capacity
        refusal = self.outage.refusal if is_down and self.outage else self.server.refusal
        worker.ready = now + (refusal if worker.refused else self.server.latency)
        worker.request = self.breaker.begin_request(now)

    def _active(self) -> int:
        return sum(each.left > 0 for each in self.workers)

    def _run_probe(self, now: float, is_down: bool) -> None:
        probe, served = self.probe, self._active()
        if probe.asking and now >= probe.ready:
            probe.asking = False
            assert probe.request is not None
            if probe.refused:
                was_open = self.breaker.is_open
                self.breaker.record_failure(probe.request, now, 1.0, active=served, by_probe=True)
                if self.breaker.is_open and not was_open:
                    self.window.server_down()
            else:
                self._answered(probe.request, now)
        if (
            any(each.waits for each in self.workers)
            and not probe.asking
            and self.breaker.seconds_until_probe(now) == 0
        ):
            self._begin_request(probe, now, is_down, served)
            self.probes += 1

    def _answered(self, request: RequestStart, now: float) -> None:
        if self.breaker.record_success(request, now, self._active()):
            self.window.server_up(now)
        if self.back_at is None and self.outage and now >= self.outage.at + self.outage.seconds:
            self.back_at = now

    def _answer(self, worker: Worker, now: float) -> None:
        worker.asking = False
        assert worker.request is not None
        assert worker.token is not None
        if worker.refused:
            self._fail(worker, now, broken=self.server.resets)
            return
        worker.failures = 0
        worker.left = self.server.file
        worker.rate = self.server.each * self.rng.lognormvariate(0.0, self.server.noise)
        self._answered(worker.request, now)
        self.window.record_answer(worker.token, now)

    def _receive(self, now: float, is_down: bool) -> None:
        receiving = [each for each in self.workers if each.left > 0]
        for worker in receiving:
            if is_down and self.outage and self.outage.silent:
                if now >= self.outage.at + self.outage.silent:
                    self._fail(worker, now, broken=True)
            elif is_down and self.outage and self.outage.cuts:
                self._fail(worker, now, broken=True)
            else:
                share = min(worker.rate, self.server.together / len(receiving))
                worker.left -= (count := TICK * share)
                self.received[int(now)] += count
                if self.breaker.record_bytes(now):
                    self.window.begin_era()
                self.window.record_bytes(now)
                if self.rng.random() < self.server.breaks * count / self.server.file:
                    self._fail(worker, now, broken=True)

    def _fail(self, worker: Worker, now: float, *, broken: bool) -> None:
        worker.left, worker.refused = 0, False
        assert worker.token is not None
        assert worker.request is not None
        worker.failures += 1
        self.failed += 1
        worker.ready = now + backoff(worker.failures, 1.0)
        (self.window.record_interruption if broken else self.window.record_overload)(
            worker.token, now
        )
        self.window.end_request(worker.token)
        if broken and worker.failures == 1:
            self.breaker.record_interruption(now)
        elif worker.request.answers == self.breaker.answers:
            worker.waits = True
            self.breaker.record_failure(worker.request, now, 1.0)


SERVERS = {
    "each connection its rate": Server(),
    "quick, each its rate": Server(each=2000 * KB, latency=0.02),
    "large files": Server(file=13_000 * KB),
    "one rate for all": Server(together=200 * KB),
    "one rate for all, large files": Server(together=200 * KB, file=13_000 * KB),
    **{f"allows {count}": Server(capacity=count) for count in range(1, MOST)},
    **{
        f"allows {capacity}, resets": Server(capacity=capacity, resets=True)
        for capacity in range(2, MOST)
    },
    "allows 5, connects time out": Server(capacity=5, refusal=30.0),
    "allows 3, connects time out": Server(capacity=3, refusal=30.0),
    "allows 6, quick": Server(capacity=6, each=1000 * KB, latency=0.02),
    "allows 6, large files": Server(capacity=6, file=3_000 * KB),
    "noisy rates": Server(noise=0.8),
    "breaks now and then": Server(breaks=0.003),
    "breaks now and then, quick": Server(each=1000 * KB, breaks=0.003),
    "noisy, breaks, allows 6": Server(noise=0.5, breaks=0.002, capacity=6),
}


@pytest.mark.parametrize("name", spread(list(SERVERS), 2))
def test_the_window_is_as_good_as_the_best_constant_number(name: str) -> None:
    server = SERVERS[name]

    def received(run: SimulatedRun) -> float:
        return run.rate(60, MINUTES * 60)

    # A server that allows so many requests serves no other constant number better.
    numbers = range(1, MOST + 1) if IS_THOROUGH else {server.capacity, MOST}
    best = max(received(SimulatedRun(server, number, number)) for number in numbers)
    auto = SimulatedRun(server, FIRST, MOST)
    assert received(auto) >= 0.9 * best
    if server.capacity in range(FIRST, MOST) and server.file < 1000 * KB:
        assert auto.failed < 0.01 * auto.requests
    elif server.capacity < MOST:  # too few requests to speak of a share
        assert auto.failed <= 8


OUTAGES = {
    "502, answers break": Outage(15.0),
    "502, answers go on": Outage(15.0, cuts=False),
    "refused": Outage(15.0, refusal=0.0),
    "connects time out": Outage(15.0, refusal=30.0, silent=60.0),
    "short": Outage(1.0),
    "5 minutes, 502": Outage(300.0),
    "5 minutes, 502, answers go on": Outage(300.0, cuts=False),
    "5 minutes, connects time out": Outage(300.0, refusal=30.0, silent=60.0),
}
AFTERWARDS = {
    "each connection its rate": Server(),
    "a minute a file": Server(file=1600 * KB),
    "allows 6": Server(capacity=6),
    "allows 6, resets": Server(capacity=6, resets=True),
}


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=list(OUTAGES))
@pytest.mark.parametrize(
    ("server", "first"),
    [(server, FIRST) for server in AFTERWARDS.values()] + [(Server(), MOST)],
    ids=[*AFTERWARDS, "a constant 8"],
)
def test_a_minute_after_an_outage_the_rate_is_as_before(
    server: Server, outage: Outage, first: int
) -> None:
    run = SimulatedRun(server, first, MOST, (outage.at + outage.seconds + 150) / 60, outage)
    before = run.rate(outage.at - 60, outage.at)
    assert run.back_at is not None
    assert run.rate(run.back_at + 50, run.back_at + 60) >= 0.9 * before
    assert run.failed <= 8 + 8
    assert run.probes <= 12 + outage.seconds / 30


def test_a_server_that_allows_fewer_requests_after_an_outage() -> None:
    outage = Outage(15.0, capacity=5)
    run = SimulatedRun(Server(), FIRST, MOST, 10, outage)
    best = SimulatedRun(Server(capacity=5), 5, 5, 10)
    assert run.rate(200, 600) >= 0.9 * best.rate(200, 600)
    assert run.failed < 0.01 * run.requests + 12
    assert run.window.size in {4, 5, 6}


def test_repeated_outages() -> None:
    """Each outage costs no more than twice its duration."""
    run = SimulatedRun(Server(), FIRST, MOST, 10, Outage(20.0, every=60.0))
    undisturbed = SimulatedRun(Server(), FIRST, MOST, 10)
    assert run.rate(120, 600) >= (60 - 2 * 20) / 60 * undisturbed.rate(120, 600)


def report(window: AimdWindow, what: Callable[[RequestToken, float], bool], now: float) -> bool:
    """Report the result of a request that ends at once."""
    token = window.begin_request(now)
    try:
        return what(token, now)
    finally:
        window.end_request(token)


def test_a_constant_number_never_changes() -> None:
    window = AimdWindow(5, 5, 0.0)
    assert not report(window, window.record_overload, 0.0)
    assert not window.record_answer(window.begin_request(1e6), 1e6)
    assert window.size == 5


def test_one_more_request_after_each_quiet_while() -> None:
    window = AimdWindow(FIRST, MOST, 0.0)
    assert not window.record_bytes(STEP_SECONDS - 0.1)
    sizes = []
    for step in range(1, 7):
        window.record_bytes(step * STEP_SECONDS)
        sizes.append(window.size)
    assert sizes == [5, 6, 7, 8, 8, 8]


def test_no_growth_while_a_request_is_unanswered_for_long() -> None:
    window = AimdWindow(FIRST, MOST, 0.0)
    waiting = window.begin_request(0.0)
    assert not window.record_bytes(STEP_SECONDS)
    window.end_request(waiting)
    assert window.record_bytes(STEP_SECONDS)


def grown_to(to: int) -> tuple[AimdWindow, float]:
    window, now = AimdWindow(FIRST, MOST, 0.0), 0.0
    while window.size < to:
        now += STEP_SECONDS
        assert window.record_bytes(now)
    return window, now


def test_an_overload_halves_the_number_once_for_all_requests_that_met_it() -> None:
    window, now = grown_to(8)
    tokens = [window.begin_request(now) for _ in range(8)]
    assert [window.record_overload(token, now) for token in tokens] == [True, *[False] * 7]
    assert window.size == 4


def test_an_overload_counts_for_the_number_when_the_request_began() -> None:
    window, now = grown_to(5)
    asked = window.begin_request(now)
    window.end_request(asked)
    window.record_bytes(now + STEP_SECONDS)
    window.record_overload(asked, now + 30)
    for step in range(10):
        window.record_bytes(now + 30 + step * STEP_SECONDS)
    assert window.size == 4


def test_a_number_that_caused_overloads_is_tried_ever_more_rarely() -> None:
    window, now = grown_to(7)
    waits = []
    for _ in range(3):
        report(window, window.record_overload, now)
        before = now
        while window.size < 7:
            now += STEP_SECONDS
            window.record_answer(window.begin_request(now), now)
        waits.append(now - before)
    assert waits[0] >= 2 * FIRST_PATIENCE
    assert waits[1] >= 1.5 * waits[0]
    assert waits[2] >= 1.5 * waits[1]


def test_a_number_that_held_for_long_is_soon_tried_again() -> None:
    window, now = grown_to(8)
    for _ in range(3):  # each after more than a while at 8
        now += 1e4
        report(window, window.record_overload, now)
        began = now
        while window.size < 8:
            now += STEP_SECONDS
            window.record_bytes(now)
        assert now - began <= FIRST_PATIENCE + 5 * STEP_SECONDS


def test_one_broken_connection_is_no_overload_and_two_are() -> None:
    window, now = grown_to(8)
    assert not report(window, window.record_interruption, now)
    for _ in range(50):
        window.record_answer(window.begin_request(now), now)
    assert not report(window, window.record_interruption, now)
    assert report(window, window.record_interruption, now)
    assert window.size == 4


def test_the_number_is_never_less_than_one() -> None:
    window = AimdWindow(FIRST, MOST, 0.0)
    for second in range(9):
        report(window, window.record_overload, second)
    assert window.size == 1


# ── a server that is away ────────────────────────────────────────────────────────────────────────


def seconds_until_size(window: AimdWindow, size: int, now: float) -> float:
    began = now
    while window.size < size:
        now += 1.0
        window.record_answer(window.begin_request(now), now)
    return now - began


@pytest.mark.parametrize("refusals", [1, 2, 3, 4, 6])
def test_the_recovery_does_not_depend_on_how_many_requests_failed(refusals: int) -> None:
    window, now = grown_to(8)
    for _ in range(refusals):  # each at a time of its own
        now += 60
        report(window, window.record_overload, now)
    window.server_down()
    window.server_up(now)
    assert window.size == 4
    assert seconds_until_size(window, 8, now) == STEP_SECONDS


def test_an_overload_confirmed_by_an_answer_is_not_undone_by_an_outage() -> None:
    window, now = grown_to(8)
    for _ in range(2):
        report(window, window.record_overload, now)
    assert window.size == 2
    window.record_answer(window.begin_request(now), now)  # this answer confirms the overload
    window.server_up(now)
    assert window.size == 1
    assert seconds_until_size(window, 7, now) == pytest.approx(6 * STEP_SECONDS)


def test_an_outage_does_not_change_the_patience() -> None:
    window, now = grown_to(8)
    for _ in range(3):
        now += 1000
        window.record_answer(window.begin_request(now), now)
        report(window, window.record_overload, now)
        window.server_up(now + 1)
    now += 1000
    window.record_answer(window.begin_request(now), now)
    now += STEP_SECONDS
    window.record_answer(window.begin_request(now), now)
    assert window.size == 8
    report(window, window.record_overload, now + 1000)
    assert seconds_until_size(window, 8, now + 1000) <= FIRST_PATIENCE + 5 * STEP_SECONDS


def test_requests_made_before_the_server_was_back_say_nothing() -> None:
    window, now = grown_to(8)
    early = window.begin_request(now)
    window.server_down()
    meanwhile = window.begin_request(now + 60)
    window.server_up(now + 90)
    for token in (early, meanwhile):
        assert not window.record_overload(token, now + 91)
        assert not window.record_interruption(token, now + 91)
    assert window.size == 4


def test_an_overload_during_the_recovery_counts() -> None:
    window, now = grown_to(8)
    window.server_up(now)
    now += STEP_SECONDS
    window.record_answer(window.begin_request(now), now)
    assert window.size == 8
    assert report(window, window.record_overload, now + 1)
    window.record_answer(window.begin_request(now + 2), now + 2)
    assert window.size == 4
    assert seconds_until_size(window, 8, now + 2) > FIRST_PATIENCE


def test_an_outage_during_the_recovery_is_the_same_outage() -> None:
    window, now = grown_to(8)
    window.server_up(now)
    report(window, window.record_overload, now + 1)
    window.server_up(now + 20)
    assert window.size == 4


def test_429_is_never_an_outage() -> None:
    window, now = grown_to(8)
    token = window.begin_request(now)
    assert window.record_overload(token, now, by_us=True)
    window.server_up(now)
    assert (window.size, seconds_until_size(window, 4, now)) == (2, STEP_SECONDS)


def test_requests_made_before_a_sleep_say_nothing() -> None:
    window, now = grown_to(8)
    tokens = [window.begin_request(now) for _ in range(8)]
    window.begin_era()
    assert not any(window.record_interruption(token, now) for token in tokens)
    assert window.size == 8


def test_an_outage_does_not_change_a_constant_number() -> None:
    window = AimdWindow(5, 5, 0.0)
    window.server_down()
    window.server_up(60.0)
    assert window.size == 5


EVENTS = st.sampled_from(
    ["begin", "answer", "bytes", "interruption", "overload", "server down", "server up"]
)


@settings(max_examples=examples(200))
@given(
    st.integers(1, 8),
    st.integers(1, 32),
    st.lists(st.tuples(EVENTS, st.floats(0, 100), st.booleans()), max_size=80),
)
def test_the_number_stays_within_bounds_after_any_events(
    first: int, most: int, events: list[tuple[str, float, bool]]
) -> None:
    first = min(first, most)
    window, now = AimdWindow(first, most, 0.0), 0.0
    tokens: list[RequestToken] = [window.begin_request(now)]
    for event, later, flag in events:
        now += later
        token = tokens[0 if flag else -1]
        match event:
            case "begin":
                tokens.append(window.begin_request(now))
            case "bytes":
                window.record_bytes(now)
            case "server down":
                window.server_down()
            case "server up":
                before = window.size
                window.server_up(now)
                assert (
                    first == most or window.size >= before // 2
                )  # half of the old number, or more
            case "overload":
                window.record_overload(token, now, by_us=flag)
            case "answer":
                window.record_answer(token, now)
            case "interruption":
                window.record_interruption(token, now)
        assert 1 <= window.size <= most
    for token in tokens:
        window.end_request(token)
    if first == most:
        assert window.size == most
    seconds_until_size(window, most, now)  # which comes to an end
