"""Turns to ask: no more at a time than the window allows, and what it learns from each."""

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
def said() -> list[Event]:
    return []


@pytest.fixture
def limiter(clock: Clock, said: list[Event]) -> ConcurrencyLimiter:
    return ConcurrencyLimiter(TransferLimits(connections=8, first_connections=4), said.append)


async def settle() -> None:
    """Let everybody go on who can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_at_a_time_than_allowed(
    limiter: ConcurrencyLimiter, clock: Clock, said: list[Event]
) -> None:
    having = []
    over = asyncio.Event()

    async def ask(number: int) -> None:
        async with limiter.acquire() as answered:
            answered()
            having.append(number)
            await over.wait()

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(ask(number))
        await settle()
        assert having == [0, 1, 2, 3]
        limiter.flowing()
        await settle()
        assert having == [0, 1, 2, 3]  # not yet
        clock.now += STEP_SECONDS
        limiter.flowing()
        await settle()
        assert having == [0, 1, 2, 3, 4]
        assert said == [ConcurrencyChanged(5)]
        over.set()
    assert having == list(range(8))


async def test_one_that_is_broken_off_gives_its_turn_back(limiter: ConcurrencyLimiter) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(limiter.acquire())
        for _ in range(5):
            with pytest.raises(asyncio.CancelledError):
                async with asyncio.timeout(5), limiter.acquire():
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
async def test_what_becomes_of_a_request_decides_how_many_there_are(
    limiter: ConcurrencyLimiter,
    said: list[Event],
    problem: Callable[[], SourceError],
    times: int,
    left: int,
) -> None:
    for _ in range(times):
        with pytest.raises(SourceError):
            async with limiter.acquire():
                raise problem()
    counts = [event.count for event in said if isinstance(event, ConcurrencyChanged)]
    assert (counts or [4])[-1] == left
    async with AsyncExitStack() as stack:
        for _ in range(left):
            await stack.enter_async_context(limiter.acquire())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0), limiter.acquire():
                pytest.fail("one too many")


async def test_a_number_that_was_asked_for_stays(clock: Clock, said: list[Event]) -> None:
    limiter = ConcurrencyLimiter(TransferLimits(connections=6, first_connections=6), said.append)
    for _ in range(3):
        with pytest.raises(Unreachable):
            async with limiter.acquire():
                raise Unreachable("timed out")
    clock.now += 1e6
    limiter.flowing()
    assert said == []


async def refuse(limiter: ConcurrencyLimiter, problem: SourceError) -> None:
    with pytest.raises(SourceError):
        async with limiter.acquire():
            raise problem


def busy() -> SourceError:
    return Throttled("503", overloaded=True)


# ── a server that is away ──────────────────────────────────────────────────────────────────────


async def test_what_waited_for_the_server_is_counted_from_when_it_was_asked(
    limiter: ConcurrencyLimiter, clock: Clock
) -> None:
    """A second refusal of requests that waited together is not the first one's."""
    for _ in range(4):
        clock.now += STEP_SECONDS
        limiter.flowing()
    over = asyncio.Event()

    async def wait() -> bool:
        waits = not over.is_set()
        await over.wait()
        return waits

    async def ask() -> None:
        with suppress(Throttled):
            async with limiter.acquire(wait):
                await asyncio.sleep(0)
                raise busy()

    asking = [asyncio.create_task(ask()) for _ in range(2)]
    await settle()
    await refuse(limiter, busy())
    assert limiter.size == 4
    over.set()
    await asyncio.gather(*asking)
    assert limiter.size == 2


async def test_turns_that_are_gone_when_the_wait_is_over_are_given_up(
    limiter: ConcurrencyLimiter, clock: Clock
) -> None:
    over = asyncio.Event()
    having = 0

    async def wait() -> bool:
        waits = not over.is_set()
        await over.wait()
        return waits

    async def ask() -> None:
        nonlocal having
        async with limiter.acquire(wait):
            having += 1
            await asyncio.sleep(0)
            assert having <= 2
            having -= 1

    asking = [asyncio.create_task(ask()) for _ in range(8)]
    await settle()
    limiter.away()
    limiter.back()
    over.set()
    await asyncio.gather(*asking)


async def test_whoever_is_broken_off_while_waiting_gives_the_turn_back(
    limiter: ConcurrencyLimiter,
) -> None:
    for _ in range(9):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0), limiter.acquire(asyncio.Event().wait):
                pytest.fail("nobody was ready")
    async with limiter.acquire():
        pass


async def test_after_an_outage_half_of_the_turns_then_all(
    limiter: ConcurrencyLimiter, clock: Clock, said: list[Event]
) -> None:
    for _ in range(4):
        clock.now += STEP_SECONDS
        limiter.flowing()
    assert said[-1] == ConcurrencyChanged(8)
    for _ in range(3):
        await refuse(limiter, busy())
    limiter.away()
    limiter.back()
    assert limiter.size == 4
    clock.now += STEP_SECONDS
    limiter.flowing()
    assert said[-1] == ConcurrencyChanged(8)


async def test_that_we_ask_too_much_is_no_outage(limiter: ConcurrencyLimiter) -> None:
    await refuse(limiter, Throttled("429", overloaded=True, by_us=True))
    limiter.away()
    limiter.back()
    assert limiter.size == 1  # half of two


async def test_what_broke_while_the_machine_slept_is_nobodys_fault(
    limiter: ConcurrencyLimiter, clock: Clock
) -> None:
    async def ask() -> None:
        with suppress(Interrupted):
            async with limiter.acquire() as answered:
                answered()
                await asleep.wait()
                raise Interrupted("no answer for 60 s")

    asleep = asyncio.Event()
    asking = [asyncio.create_task(ask()) for _ in range(4)]
    await settle()
    clock.slept += 8 * 3600
    asleep.set()
    await asyncio.gather(*asking)
    assert limiter.size == 4


async def test_how_many_answers_are_under_way(limiter: ConcurrencyLimiter) -> None:
    async with limiter.acquire() as answered:
        assert limiter.under_way == 0
        answered()
        assert limiter.under_way == 1
    await refuse(limiter, busy())
    assert limiter.under_way == 0
