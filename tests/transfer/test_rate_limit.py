"""One rate for all connections, by a timetable, on a virtual clock."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import IS_THOROUGH, examples
from transfer.virtual_clock import Clock, virtually

from cxrsync.config.timetable import Timetable, parse_timetable
from cxrsync.events import Event, Waiting
from cxrsync.transfer import rate_limit as module
from cxrsync.transfer.rate_limit import RateLimiter, TokenBucket

many = settings(deadline=None, max_examples=examples(200), derandomize=True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    clock.rules(monkeypatch, module)
    return clock


@pytest.fixture
def events() -> list[Event]:
    return []


def utc(text: str) -> Timetable:
    parsed = parse_timetable(text)
    return Timetable(parsed.spans, parsed.otherwise, UTC)


def since(start: str, clock: Clock) -> Callable[[], datetime]:
    """The time of day, which was ``start`` when the clock began."""
    began, first = clock.now, datetime.fromisoformat(f"2026-11-26T{start}+00:00")
    return lambda: first + timedelta(seconds=clock.now - began)


# ── the bucket, purely ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("taken_at", "count", "now", "wait"),
    [
        (100.0, 100, 100.0, 0.8),  # idle: a moment is saved up, no more
        (100.0, 10, 100.0, 0.0),
        (100.0, 100, 100.7, 0.1),
        (100.0, 100, 105.0, 0.0),
    ],
)
def test_when_bytes_may_have_come(taken_at: float, count: int, now: float, wait: float) -> None:
    bucket = TokenBucket(100.0, 0.0)
    mark = bucket.take(count, taken_at)
    assert bucket.wait(mark, now) == pytest.approx(wait)


def test_who_takes_later_waits_behind_those_before() -> None:
    bucket = TokenBucket(100.0, 0.0)
    first, second = bucket.take(120, 0.0), bucket.take(100, 0.0)
    assert bucket.wait(first, 0.0) == pytest.approx(1.0)
    assert bucket.wait(second, 0.0) == pytest.approx(2.0)
    assert bucket.wait(second, 1.5) == pytest.approx(0.5)


def test_a_change_counts_for_those_who_wait_already() -> None:
    bucket = TokenBucket(100.0, 0.0)
    mark = bucket.take(1020, 0.0)
    assert bucket.wait(mark, 5.0) == pytest.approx(5.0)
    bucket.set_rate(1000.0, 5.0)
    assert bucket.wait(mark, 5.0) == pytest.approx(0.5)
    bucket.set_rate(0, 5.0)
    assert bucket.wait(mark, 500.0) == inf
    bucket.set_rate(50.0, 500.0)
    assert bucket.wait(mark, 500.0) == pytest.approx(10.0)
    bucket.set_rate(None, 500.0)
    assert bucket.wait(mark, 500.0) == 0


@many
@given(
    takes=st.lists(st.tuples(st.integers(1, 10_000), st.floats(0, 0.5)), min_size=5, max_size=50)
)
def test_a_rate_holds_whatever_the_timers_do(takes: list[tuple[int, float]]) -> None:
    rate, now, carried = 1000.0, 0.0, 0
    bucket = TokenBucket(rate, now)
    for count, late in takes:
        mark = bucket.take(count, now)
        now += bucket.wait(mark, now) + late
        carried += count
        assert carried <= rate * (now + 0.2) + 1e-6


# ── by the time of day ─────────────────────────────────────────────────────────────────────────


@virtually
async def test_a_constant_rate_wakes_nobody_before_the_time(clock: Clock) -> None:
    limiter = RateLimiter(utc("100"))
    began = clock.now
    await limiter.consume(1020)
    assert clock.now - began == pytest.approx(10.0)
    assert not limiter.paused
    assert not await limiter.wait_unpaused()


@virtually
async def test_without_a_limit_nobody_waits(clock: Clock) -> None:
    limiter = RateLimiter(Timetable())
    began = clock.now
    await limiter.consume(1 << 40)
    assert clock.now == began
    assert limiter.clock() == clock.now


@pytest.mark.parametrize(("text", "seconds"), [("100k", 5.0), ("off", 5.0), ("1k", 600.0)])
def test_a_change_takes_hold_while_a_connection_waits(
    clock: Clock, text: str, seconds: float
) -> None:
    """Of a wait of minutes 5 s are over when the rate changes."""

    @virtually
    async def story(clock: Clock) -> None:
        table = utc(f"08:00-20:00=1k,20:00-08:00={text}")
        limiter = RateLimiter(table, now=since("19:59:55", clock))
        began = clock.now
        await limiter.consume(600 << 10)
        assert seconds - 1 <= clock.now - began <= seconds + 7

    story(clock=clock)


@virtually
async def test_a_pause_ends_the_wait_and_lasts_until_its_end(
    clock: Clock, events: list[Event]
) -> None:
    hours = 12 if IS_THOROUGH else 2
    table = utc(f"08:00-{8 + hours:02}:00=0,{8 + hours:02}:00-08:00=1k")
    limiter = RateLimiter(table, events.append, since("07:59:50", clock))
    began = clock.now
    assert not limiter.paused
    await limiter.consume(1 << 20)  # of which ten seconds' worth may come
    assert 10 <= clock.now - began <= 11
    assert limiter.paused
    waiting = [asyncio.create_task(limiter.wait_unpaused()) for _ in range(8)]
    assert all(await asyncio.gather(*waiting))
    assert 0 <= clock.now - began - 10 - hours * 3600 <= 1
    [said] = [event for event in events if isinstance(event, Waiting)]
    assert said.what == f"paused until {8 + hours}:00 by --limit-rate"
    assert said.at_most == pytest.approx(hours * 3600, abs=1)


@virtually
async def test_the_clock_stands_still_during_a_pause(clock: Clock) -> None:
    limiter = RateLimiter(utc("08:00-20:00=0"), now=since("07:59:00", clock))
    began = limiter.clock()
    await asyncio.sleep(61)
    paused = limiter.clock()
    assert 60 <= paused - began <= 61
    await asyncio.sleep(3600)
    assert limiter.clock() == paused
    assert await limiter.wait_unpaused()
    await asyncio.sleep(30)
    assert 30 <= limiter.clock() - paused <= 31


@virtually
async def test_a_clock_that_is_set_ends_a_pause(clock: Clock) -> None:
    ahead = timedelta()
    now = since("12:00", clock)
    limiter = RateLimiter(utc("08:00-20:00=0"), now=lambda: now() + ahead)
    waiting = asyncio.create_task(limiter.wait_unpaused())
    await asyncio.sleep(10)
    ahead = timedelta(hours=9)
    began = clock.now
    assert await waiting
    assert clock.now - began <= 1
