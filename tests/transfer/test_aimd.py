"""How many connections are at work: rules, and servers of all kinds on a simulated clock."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrsync.transfer.aimd import FIRST_PATIENCE, STEP_SECONDS, AimdWindow, RequestToken
from cxrsync.transfer.breaker_state import BreakerState, Request
from cxrsync.transfer.retry_policy import backoff

KB = 1000
FIRST, MOST = 4, 8
MINUTES = 10
TICK = 0.1


@dataclass(frozen=True)
class Server:
    """A server as its clients see it: bytes per second, seconds.

    ``room``: what is asked beside so many others fails after ``refusal`` seconds; ``resets``: it
    breaks the connection instead of refusing in words. ``noise``: of the rates, as the standard
    deviation of their logarithm; ``breaks``: so many of all answers break off.
    """

    each: float = 50 * KB
    together: float = 1e12
    room: int = MOST
    refusal: float = 0.2
    resets: bool = False
    noise: float = 0.0
    breaks: float = 0.0
    file: int = 150 * KB
    latency: float = 0.1


@dataclass(frozen=True)
class Away:
    """The server is away for ``seconds``; what is asked meanwhile fails after ``refusal`` seconds.

    ``cuts``: it breaks the answers that are under way; else they go on to their end, as from a
    proxy whose own server is down. ``silent``: they stop, and break that many seconds later.
    """

    seconds: float
    refusal: float = 0.1
    cuts: bool = True
    silent: float = 0.0
    at: float = 120.0
    every: float = 1e12
    room: int | None = None
    """What it has room for from then on."""

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
    waits: bool = False  # for anybody's answer, as perhaps the server is away
    mark: RequestToken | None = None
    request: Request | None = None

    @property
    def busy(self) -> bool:
        return self.asking or self.left > 0


@dataclass
class Life:
    """A run. ``received`` counts bytes second by second, requests are counted from the beginning.

    Beside its workers one probe asks where the breaker wants it to.
    """

    server: Server
    first: int
    most: int
    minutes: float = MINUTES
    away: Away | None = None
    received: list[float] = field(default_factory=list)
    requests: int = 0
    failed: int = 0
    probes: int = 0
    back_at: float | None = None
    """When the first probe after the outage was answered."""

    def __post_init__(self) -> None:
        self.dice = random.Random(f"{self.server}")
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
        gone = self.away is not None and self.away.covers(now)
        self._let_probe_ask(now, gone)
        for worker in self.workers:
            if worker.waits and worker.request.answers != self.breaker.answers:
                worker.waits, worker.ready = False, now + backoff(worker.failures, 1.0)
            if worker.waits or now < worker.ready:
                continue
            if worker.asking:
                self._answer(worker, now)
            elif worker.left <= 0 and self._may_ask(now):
                served = sum(each.busy and not each.refused for each in self.workers)
                self._ask(worker, now, gone, served)
                worker.mark = self.window.asked(now)
                self.requests += 1
        self._receive(now, gone)

    def _may_ask(self, now: float) -> bool:
        busy = sum(each.busy for each in self.workers)
        return busy < self.window.size and self.breaker.hold(now) == 0

    def _ask(self, worker: Worker, now: float, gone: bool, served: int) -> None:
        room = self.server.room
        if self.away is not None and self.away.room is not None and now >= self.away.at:
            room = self.away.room
        worker.asking, worker.refused = True, gone or served >= room
        refusal = self.away.refusal if gone and self.away else self.server.refusal
        worker.ready = now + (refusal if worker.refused else self.server.latency)
        worker.request = self.breaker.asked(now)

    def _under_way(self) -> int:
        return sum(each.left > 0 for each in self.workers)

    def _let_probe_ask(self, now: float, gone: bool) -> None:
        probe, served = self.probe, self._under_way()
        if probe.asking and now >= probe.ready:
            probe.asking = False
            assert probe.request is not None
            if probe.refused:
                was_open = self.breaker.is_open
                self.breaker.refused(probe.request, now, 1.0, under_way=served, by_probe=True)
                if self.breaker.is_open and not was_open:
                    self.window.away()
            else:
                self._answered(probe.request, now)
        if (
            any(each.waits for each in self.workers)
            and not probe.asking
            and self.breaker.probe_in(now) == 0
        ):
            self._ask(probe, now, gone, served)
            self.probes += 1

    def _answered(self, request: Request, now: float) -> None:
        if self.breaker.answered(request, now, self._under_way()):
            self.window.back(now)
        if self.back_at is None and self.away and now >= self.away.at + self.away.seconds:
            self.back_at = now

    def _answer(self, worker: Worker, now: float) -> None:
        worker.asking = False
        assert worker.request is not None
        assert worker.mark is not None
        if worker.refused:
            self._fail(worker, now, broken=self.server.resets)
            return
        worker.failures = 0
        worker.left = self.server.file
        worker.rate = self.server.each * self.dice.lognormvariate(0.0, self.server.noise)
        self._answered(worker.request, now)
        self.window.answered(worker.mark, now)

    def _receive(self, now: float, gone: bool) -> None:
        receiving = [each for each in self.workers if each.left > 0]
        for worker in receiving:
            if gone and self.away and self.away.silent:
                if now >= self.away.at + self.away.silent:
                    self._fail(worker, now, broken=True)
            elif gone and self.away and self.away.cuts:
                self._fail(worker, now, broken=True)
            else:
                share = min(worker.rate, self.server.together / len(receiving))
                worker.left -= (count := TICK * share)
                self.received[int(now)] += count
                if self.breaker.flowing(now):
                    self.window.lapse()
                self.window.flowing(now)
                if self.dice.random() < self.server.breaks * count / self.server.file:
                    self._fail(worker, now, broken=True)

    def _fail(self, worker: Worker, now: float, *, broken: bool) -> None:
        worker.left, worker.refused = 0, False
        assert worker.mark is not None
        assert worker.request is not None
        worker.failures += 1
        self.failed += 1
        worker.ready = now + backoff(worker.failures, 1.0)
        (self.window.broken if broken else self.window.trouble)(worker.mark, now)
        self.window.forget(worker.mark)
        if broken and worker.failures == 1:
            self.breaker.broke(now)
        elif worker.request.answers == self.breaker.answers:
            worker.waits = True
            self.breaker.refused(worker.request, now, 1.0)


SERVERS = {
    "each connection its rate": Server(),
    "quick, each its rate": Server(each=2000 * KB, latency=0.02),
    "large files": Server(file=13_000 * KB),
    "one rate for all": Server(together=200 * KB),
    "one rate for all, large files": Server(together=200 * KB, file=13_000 * KB),
    **{f"room for {room}": Server(room=room) for room in range(1, MOST)},
    **{f"room for {room}, resets": Server(room=room, resets=True) for room in range(2, MOST)},
    "room for 5, connects time out": Server(room=5, refusal=30.0),
    "room for 3, connects time out": Server(room=3, refusal=30.0),
    "room for 6, quick": Server(room=6, each=1000 * KB, latency=0.02),
    "room for 6, large files": Server(room=6, file=3_000 * KB),
    "noisy rates": Server(noise=0.8),
    "breaks now and then": Server(breaks=0.003),
    "breaks now and then, quick": Server(each=1000 * KB, breaks=0.003),
    "noisy, breaks, room for 6": Server(noise=0.5, breaks=0.002, room=6),
}


@pytest.mark.parametrize("server", SERVERS.values(), ids=list(SERVERS))
def test_as_good_as_the_best_constant_number(server: Server) -> None:
    def received(life: Life) -> float:
        return life.rate(60, MINUTES * 60)

    best = max(received(Life(server, number, number)) for number in range(1, MOST + 1))
    ours = Life(server, FIRST, MOST)
    assert received(ours) >= 0.9 * best
    if server.room in range(FIRST, MOST) and server.file < 1000 * KB:
        assert ours.failed < 0.01 * ours.requests
    elif server.room < MOST:  # too few requests to speak of a share
        assert ours.failed <= 8


OUTAGES = {
    "502, answers break": Away(15.0),
    "502, answers go on": Away(15.0, cuts=False),
    "refused": Away(15.0, refusal=0.0),
    "connects time out": Away(15.0, refusal=30.0, silent=60.0),
    "short": Away(1.0),
    "5 minutes, 502": Away(300.0),
    "5 minutes, 502, answers go on": Away(300.0, cuts=False),
    "5 minutes, connects time out": Away(300.0, refusal=30.0, silent=60.0),
}
AFTERWARDS = {
    "each connection its rate": Server(),
    "a minute a file": Server(file=1600 * KB),
    "room for 6": Server(room=6),
    "room for 6, resets": Server(room=6, resets=True),
}


@pytest.mark.parametrize("away", OUTAGES.values(), ids=list(OUTAGES))
@pytest.mark.parametrize(
    ("server", "first"),
    [(server, FIRST) for server in AFTERWARDS.values()] + [(Server(), MOST)],
    ids=[*AFTERWARDS, "a constant 8"],
)
def test_a_minute_after_an_outage_all_is_as_before(server: Server, away: Away, first: int) -> None:
    life = Life(server, first, MOST, (away.at + away.seconds + 150) / 60, away)
    before = life.rate(away.at - 60, away.at)
    assert life.back_at is not None
    assert life.rate(life.back_at + 50, life.back_at + 60) >= 0.9 * before
    assert life.failed <= 8 + 8
    assert life.probes <= 12 + away.seconds / 30


def test_a_server_that_bears_fewer_after_an_outage_is_found() -> None:
    away = Away(15.0, room=5)
    life = Life(Server(), FIRST, MOST, 10, away)
    best = Life(Server(room=5), 5, 5, 10)
    assert life.rate(200, 600) >= 0.9 * best.rate(200, 600)
    assert life.failed < 0.01 * life.requests + 12
    assert life.window.size in {4, 5, 6}


def test_a_server_that_comes_and_goes() -> None:
    """Each outage costs no more than twice what it lasts."""
    life = Life(Server(), FIRST, MOST, 10, Away(20.0, every=60.0))
    undisturbed = Life(Server(), FIRST, MOST, 10)
    assert life.rate(120, 600) >= (60 - 2 * 20) / 60 * undisturbed.rate(120, 600)


def meet(window: AimdWindow, what: Callable[[RequestToken, float], bool], now: float) -> bool:
    """A request that came to that at once."""
    mark = window.asked(now)
    try:
        return what(mark, now)
    finally:
        window.forget(mark)


def test_a_constant_number_stays() -> None:
    window = AimdWindow(5, 5, 0.0)
    assert not meet(window, window.trouble, 0.0)
    assert not window.answered(window.asked(1e6), 1e6)
    assert window.size == 5


def test_one_more_after_each_quiet_while() -> None:
    window = AimdWindow(FIRST, MOST, 0.0)
    assert not window.flowing(STEP_SECONDS - 0.1)
    sizes = []
    for step in range(1, 7):
        window.flowing(step * STEP_SECONDS)
        sizes.append(window.size)
    assert sizes == [5, 6, 7, 8, 8, 8]


def test_none_more_while_somebody_waits_for_an_answer() -> None:
    window = AimdWindow(FIRST, MOST, 0.0)
    waiting = window.asked(0.0)
    assert not window.flowing(STEP_SECONDS)
    window.forget(waiting)
    assert window.flowing(STEP_SECONDS)


def grown(to: int) -> tuple[AimdWindow, float]:
    window, now = AimdWindow(FIRST, MOST, 0.0), 0.0
    while window.size < to:
        now += STEP_SECONDS
        assert window.flowing(now)
    return window, now


def test_half_after_trouble_and_once_for_all_who_met_it() -> None:
    window, now = grown(8)
    marks = [window.asked(now) for _ in range(8)]
    assert [window.trouble(mark, now) for mark in marks] == [True, *[False] * 7]
    assert window.size == 4


def test_blamed_is_the_number_at_which_it_was_asked() -> None:
    window, now = grown(5)
    asked = window.asked(now)
    window.forget(asked)
    window.flowing(now + STEP_SECONDS)
    window.trouble(asked, now + 30)
    for step in range(10):
        window.flowing(now + 30 + step * STEP_SECONDS)
    assert window.size == 4


def test_what_brought_trouble_is_tried_ever_more_rarely() -> None:
    window, now = grown(7)
    waits = []
    for _ in range(3):
        meet(window, window.trouble, now)
        before = now
        while window.size < 7:
            now += STEP_SECONDS
            window.answered(window.asked(now), now)
        waits.append(now - before)
    assert waits[0] >= 2 * FIRST_PATIENCE
    assert waits[1] >= 1.5 * waits[0]
    assert waits[2] >= 1.5 * waits[1]


def test_a_number_that_stood_for_long_is_soon_tried_again() -> None:
    window, now = grown(8)
    for _ in range(3):  # each after more than a while at 8
        now += 1e4
        meet(window, window.trouble, now)
        began = now
        while window.size < 8:
            now += STEP_SECONDS
            window.flowing(now)
        assert now - began <= FIRST_PATIENCE + 5 * STEP_SECONDS


def test_one_broken_connection_is_no_trouble_and_two_are() -> None:
    window, now = grown(8)
    assert not meet(window, window.broken, now)
    for _ in range(50):
        window.answered(window.asked(now), now)
    assert not meet(window, window.broken, now)
    assert meet(window, window.broken, now)
    assert window.size == 4


def test_never_less_than_one() -> None:
    window = AimdWindow(FIRST, MOST, 0.0)
    for second in range(9):
        meet(window, window.trouble, second)
    assert window.size == 1


# ── a server that is away ──────────────────────────────────────────────────────────────────────


def seconds_back_to(window: AimdWindow, size: int, now: float) -> float:
    began = now
    while window.size < size:
        now += 1.0
        window.answered(window.asked(now), now)
    return now - began


@pytest.mark.parametrize("refusals", [1, 2, 3, 4, 6])
def test_the_way_back_does_not_depend_on_how_often_it_was_asked(refusals: int) -> None:
    window, now = grown(8)
    for _ in range(refusals):  # each at a time of its own
        now += 60
        meet(window, window.trouble, now)
    window.away()
    window.back(now)
    assert window.size == 4
    assert seconds_back_to(window, 8, now) == STEP_SECONDS


def test_what_an_answer_has_settled_is_not_given_back() -> None:
    window, now = grown(8)
    for _ in range(2):
        meet(window, window.trouble, now)
    assert window.size == 2
    window.answered(window.asked(now), now)  # and that settles it
    window.back(now)
    assert window.size == 1
    assert seconds_back_to(window, 7, now) == pytest.approx(6 * STEP_SECONDS)


def test_an_outage_leaves_the_patience_as_it_was() -> None:
    window, now = grown(8)
    for _ in range(3):
        now += 1000
        window.answered(window.asked(now), now)
        meet(window, window.trouble, now)
        window.back(now + 1)
    now += 1000
    window.answered(window.asked(now), now)
    now += STEP_SECONDS
    window.answered(window.asked(now), now)
    assert window.size == 8
    meet(window, window.trouble, now + 1000)
    assert seconds_back_to(window, 8, now + 1000) <= FIRST_PATIENCE + 5 * STEP_SECONDS


def test_what_was_asked_before_the_server_was_back_says_nothing() -> None:
    window, now = grown(8)
    early = window.asked(now)
    window.away()
    meanwhile = window.asked(now + 60)
    window.back(now + 90)
    for mark in (early, meanwhile):
        assert not window.trouble(mark, now + 91)
        assert not window.broken(mark, now + 91)
    assert window.size == 4


def test_trouble_on_the_way_back_is_trouble() -> None:
    window, now = grown(8)
    window.back(now)
    now += STEP_SECONDS
    window.answered(window.asked(now), now)
    assert window.size == 8
    assert meet(window, window.trouble, now + 1)
    window.answered(window.asked(now + 2), now + 2)
    assert window.size == 4
    assert seconds_back_to(window, 8, now + 2) > FIRST_PATIENCE


def test_an_outage_on_the_way_back_is_the_same_outage() -> None:
    window, now = grown(8)
    window.back(now)
    meet(window, window.trouble, now + 1)
    window.back(now + 20)
    assert window.size == 4


def test_that_we_ask_too_much_is_never_an_outage() -> None:
    window, now = grown(8)
    mark = window.asked(now)
    assert window.trouble(mark, now, by_us=True)
    window.back(now)
    assert (window.size, seconds_back_to(window, 4, now)) == (2, STEP_SECONDS)


def test_after_a_sleep_nothing_of_before_is_believed() -> None:
    window, now = grown(8)
    marks = [window.asked(now) for _ in range(8)]
    window.lapse()
    assert not any(window.broken(mark, now) for mark in marks)
    assert window.size == 8


def test_a_constant_number_stays_through_an_outage() -> None:
    window = AimdWindow(5, 5, 0.0)
    window.away()
    window.back(60.0)
    assert window.size == 5


EVENTS = st.sampled_from(["asked", "answered", "flowing", "broken", "trouble", "away", "back"])


@settings(deadline=None, max_examples=200, derandomize=True)
@given(
    st.integers(1, 8),
    st.integers(1, 32),
    st.lists(st.tuples(EVENTS, st.floats(0, 100), st.booleans()), max_size=80),
)
def test_whatever_happens_the_number_stays_within_bounds(
    first: int, most: int, events: list[tuple[str, float, bool]]
) -> None:
    first = min(first, most)
    window, now = AimdWindow(first, most, 0.0), 0.0
    marks: list[RequestToken] = [window.asked(now)]
    for event, later, flag in events:
        now += later
        mark = marks[0 if flag else -1]
        match event:
            case "asked":
                marks.append(window.asked(now))
            case "flowing":
                window.flowing(now)
            case "away":
                window.away()
            case "back":
                before = window.size
                window.back(now)
                assert first == most or window.size >= before // 2  # of the old number, or more
            case "trouble":
                window.trouble(mark, now, by_us=flag)
            case _:
                getattr(window, event)(mark, now)
        assert 1 <= window.size <= most
    for mark in marks:
        window.forget(mark)
    if first == most:
        assert window.size == most
    seconds_back_to(window, most, now)  # which comes to an end
