"""How many connections are at work: rules, and servers of all kinds on a simulated clock."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from cxrsync.engine.window import FIRST_PATIENCE, STEP_SECONDS, Mark, Window

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


@dataclass
class Worker:
    """One connection: waits until ``ready``, then (if ``left``) receives."""

    ready: float = 0.0
    left: float = 0.0
    rate: float = 0.0
    asking: bool = False
    refused: bool = False
    failures: int = 0
    mark: Mark | None = None

    @property
    def busy(self) -> bool:
        return self.asking or self.left > 0


@dataclass
class Life:
    """What a run came to; bytes are counted after its first minute, requests from the beginning."""

    window: Window
    received: float = 0.0
    requests: int = 0
    failed: int = 0


def live(server: Server, first: int, most: int = MOST) -> Life:
    dice = random.Random(f"{server}")
    life = Life(Window(first, most, 0.0))
    workers = [Worker() for _ in range(most)]
    for tick in range(int(MINUTES * 60 / TICK)):
        now = tick * TICK
        for worker in workers:
            if now < worker.ready:
                continue
            if worker.asking:
                answer(server, life, worker, now, dice)
            elif worker.left <= 0 and sum(each.busy for each in workers) < life.window.size:
                served = sum(each.busy and not each.refused for each in workers)
                worker.asking, worker.refused = True, served >= server.room
                worker.ready = now + (server.refusal if worker.refused else server.latency)
                worker.mark = life.window.asked(now)
                life.requests += 1
        receiving = [each for each in workers if each.left > 0]
        for worker in receiving:
            count = TICK * min(worker.rate, server.together / len(receiving))
            worker.left -= count
            life.received += count if now >= 60 else 0
            life.window.flowing(now)
            if dice.random() < server.breaks * count / server.file:
                fail(server, life, worker, now, broken=True)
    return life


def answer(server: Server, life: Life, worker: Worker, now: float, dice: random.Random) -> None:
    worker.asking = False
    if worker.refused:
        fail(server, life, worker, now, broken=server.resets)
        return
    worker.failures = 0
    worker.left = server.file
    worker.rate = server.each * dice.lognormvariate(0.0, server.noise)
    life.window.answered(worker.mark, now)


def fail(server: Server, life: Life, worker: Worker, now: float, *, broken: bool) -> None:
    worker.left, worker.refused = 0, False
    assert worker.mark is not None
    worker.failures += 1
    life.failed += 1
    worker.ready = now + min(60.0, 2.0 ** (worker.failures - 1))
    (life.window.broken if broken else life.window.trouble)(worker.mark, now)
    life.window.forget(worker.mark)


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
    best = max(live(server, number, number).received for number in range(1, MOST + 1))
    ours = live(server, FIRST)
    assert ours.received >= 0.9 * best
    if server.room in range(FIRST, MOST) and server.file < 1000 * KB:
        assert ours.failed < 0.01 * ours.requests
    elif server.room < MOST:  # too few requests to speak of a share
        assert ours.failed <= 8


def meet(window: Window, what: Callable[[Mark, float], bool], now: float) -> bool:
    """A request that came to that at once."""
    mark = window.asked(now)
    try:
        return what(mark, now)
    finally:
        window.forget(mark)


def test_a_constant_number_stays() -> None:
    window = Window(5, 5, 0.0)
    assert not meet(window, window.trouble, 0.0)
    assert not window.answered(window.asked(1e6), 1e6)
    assert window.size == 5


def test_one_more_after_each_quiet_while() -> None:
    window = Window(FIRST, MOST, 0.0)
    assert not window.flowing(STEP_SECONDS - 0.1)
    sizes = []
    for step in range(1, 7):
        window.flowing(step * STEP_SECONDS)
        sizes.append(window.size)
    assert sizes == [5, 6, 7, 8, 8, 8]


def test_none_more_while_somebody_waits_for_an_answer() -> None:
    window = Window(FIRST, MOST, 0.0)
    waiting = window.asked(0.0)
    assert not window.flowing(STEP_SECONDS)
    window.forget(waiting)
    assert window.flowing(STEP_SECONDS)


def grown(to: int) -> tuple[Window, float]:
    window, now = Window(FIRST, MOST, 0.0), 0.0
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
            window.flowing(now)
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
    window = Window(FIRST, MOST, 0.0)
    for second in range(9):
        meet(window, window.trouble, second)
    assert window.size == 1
