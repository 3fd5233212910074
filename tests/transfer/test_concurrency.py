"""The concurrency limit: no more requests than the window allows, and what it learns from them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

import pytest
from transfer.virtual_clock import Clock

from cxrsync.config.job import TransferLimits
from cxrsync.errors import (
    AccessDenied,
    Interrupted,
    InvalidResponse,
    NotFound,
    SourceError,
    Throttled,
    Unreachable,
)
from cxrsync.events import ConcurrencyChanged, Event
from cxrsync.transfer import concurrency as module
from cxrsync.transfer.aimd import STEP_SECONDS
from cxrsync.transfer.concurrency import ConcurrencyLimiter


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    clock.rules(monkeypatch, module)
    return clock


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def limiter(clock: Clock, events: list[Event]) -> ConcurrencyLimiter:
    return ConcurrencyLimiter(TransferLimits(connections=8, first_connections=4), events.append)


async def settle() -> None:
    """Let every task run as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_requests_at_a_time_than_allowed(
    limiter: ConcurrencyLimiter, clock: Clock, events: list[Event]
) -> None:
    running = []
    released = asyncio.Event()

    async def request(number: int) -> None:
        async with limiter.acquire() as answered:
            answered()
            running.append(number)
            await released.wait()

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(request(number))
        await settle()
        assert running == [0, 1, 2, 3]
        limiter.record_bytes()
        await settle()
        assert running == [0, 1, 2, 3]  # not yet
        clock.now += STEP_SECONDS
        limiter.record_bytes()
        await settle()
        assert running == [0, 1, 2, 3, 4]
        assert events == [ConcurrencyChanged(5)]
        released.set()
    assert running == list(range(8))


async def test_a_cancelled_request_gives_its_slot_back(limiter: ConcurrencyLimiter) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(limiter.acquire())
        for _ in range(5):
            with pytest.raises(asyncio.CancelledError):
                async with asyncio.timeout(60), limiter.acquire():
                    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("problem", "times", "left"),
    [
        (lambda: Unreachable("timed out"), 1, 2),
        (lambda: Throttled("503", overloaded=True), 1, 2),
        (lambda: Throttled("503", overloaded=True), 2, 1),
        (lambda: Throttled("500"), 3, 4),
        (lambda: Interrupted("reset"), 1, 4),
        (lambda: Interrupted("reset"), 2, 2),
        (lambda: NotFound("404"), 3, 4),
        (lambda: AccessDenied("403"), 3, 4),
        (lambda: InvalidResponse("nonsense"), 3, 4),
    ],
)
async def test_the_result_of_a_request_decides_the_limit(
    limiter: ConcurrencyLimiter,
    events: list[Event],
    problem: Callable[[], SourceError],
    times: int,
    left: int,
) -> None:
    for _ in range(times):
        with pytest.raises(SourceError):
            async with limiter.acquire():
                raise problem()
    counts = [event.count for event in events if isinstance(event, ConcurrencyChanged)]
    assert (counts or [4])[-1] == left
    async with AsyncExitStack() as stack:
        for _ in range(left):
            await stack.enter_async_context(limiter.acquire())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0), limiter.acquire():
                pytest.fail("one too many")


async def test_a_number_set_by_the_user_never_changes(clock: Clock, events: list[Event]) -> None:
    limiter = ConcurrencyLimiter(TransferLimits(connections=6, first_connections=6), events.append)
    for _ in range(3):
        with pytest.raises(Unreachable):
            async with limiter.acquire():
                raise Unreachable("timed out")
    clock.now += 1e6
    limiter.record_bytes()
    assert events == []


async def fail(limiter: ConcurrencyLimiter, problem: SourceError) -> None:
    with pytest.raises(SourceError):
        async with limiter.acquire():
            raise problem


def overloaded() -> SourceError:
    return Throttled("503", overloaded=True)


# ── a server that is away ────────────────────────────────────────────────────────────────────────


async def test_a_request_that_waited_counts_from_its_beginning(
    limiter: ConcurrencyLimiter, clock: Clock
) -> None:
    """The second failure of requests that waited together is not the first one's."""
    for _ in range(4):
        clock.now += STEP_SECONDS
        limiter.record_bytes()
    released = asyncio.Event()

    async def wait() -> bool:
        waits = not released.is_set()
        await released.wait()
        return waits

    async def request() -> None:
        with suppress(Throttled):
            async with limiter.acquire(wait):
                await asyncio.sleep(0)
                raise overloaded()

    requests = [asyncio.create_task(request()) for _ in range(2)]
    await settle()
    await fail(limiter, overloaded())
    assert limiter.size == 4
    released.set()
    await asyncio.gather(*requests)
    assert limiter.size == 2


async def test_slots_lost_during_a_wait_are_given_up(
    limiter: ConcurrencyLimiter, clock: Clock
) -> None:
    released = asyncio.Event()
    running = 0

    async def wait() -> bool:
        waits = not released.is_set()
        await released.wait()
        return waits

    async def request() -> None:
        nonlocal running
        async with limiter.acquire(wait):
            running += 1
            await asyncio.sleep(0)
            assert running <= 2
            running -= 1

    requests = [asyncio.create_task(request()) for _ in range(8)]
    await settle()
    limiter.server_down()
    limiter.server_up()
    released.set()
    await asyncio.gather(*requests)


async def test_a_request_cancelled_while_it_waits_gives_its_slot_back(
    limiter: ConcurrencyLimiter,
) -> None:
    for _ in range(9):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0), limiter.acquire(asyncio.Event().wait):
                pytest.fail("it was not ready")
    async with limiter.acquire():
        pass


async def test_after_an_outage_half_of_the_slots_then_all(
    limiter: ConcurrencyLimiter, clock: Clock, events: list[Event]
) -> None:
    for _ in range(4):
        clock.now += STEP_SECONDS
        limiter.record_bytes()
    assert events[-1] == ConcurrencyChanged(8)
    for _ in range(3):
        await fail(limiter, overloaded())
    limiter.server_down()
    limiter.server_up()
    assert limiter.size == 4
    clock.now += STEP_SECONDS
    limiter.record_bytes()
    assert events[-1] == ConcurrencyChanged(8)


async def test_429_is_no_outage(limiter: ConcurrencyLimiter) -> None:
    await fail(limiter, Throttled("429", overloaded=True, by_us=True))
    limiter.server_down()
    limiter.server_up()
    assert limiter.size == 1  # half of two


async def test_interruptions_during_a_sleep_do_not_count(
    limiter: ConcurrencyLimiter, clock: Clock
) -> None:
    async def request() -> None:
        with suppress(Interrupted):
            async with limiter.acquire() as answered:
                answered()
                await asleep.wait()
                raise Interrupted("no answer for 60 s")

    asleep = asyncio.Event()
    requests = [asyncio.create_task(request()) for _ in range(4)]
    await settle()
    clock.slept += 8 * 3600
    asleep.set()
    await asyncio.gather(*requests)
    assert limiter.size == 4


async def test_how_many_answers_are_active(limiter: ConcurrencyLimiter) -> None:
    async with limiter.acquire() as answered:
        assert limiter.active == 0
        answered()
        assert limiter.active == 1
    await fail(limiter, overloaded())
    assert limiter.active == 0
