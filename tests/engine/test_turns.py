"""Turns to ask: no more at a time than the window allows, and what it learns from each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from cxrsync.engine import turns as module
from cxrsync.engine.turns import Turns
from cxrsync.engine.window import STEP_SECONDS
from cxrsync.errors import (
    AccessDenied,
    BadAnswer,
    Interrupted,
    NotFound,
    SourceError,
    Throttled,
    Unreachable,
)
from cxrsync.job import Limits
from cxrsync.model import Connections, Event


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


@pytest.fixture
def said() -> list[Event]:
    return []


@pytest.fixture
def turns(clock: Clock, said: list[Event]) -> Turns:
    return Turns(Limits(connections=8, first_connections=4), said.append)


async def settle() -> None:
    """Let everybody go on who can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_at_a_time_than_allowed(
    turns: Turns, clock: Clock, said: list[Event]
) -> None:
    having = []
    over = asyncio.Event()

    async def ask(number: int) -> None:
        async with turns.take() as answered:
            answered()
            having.append(number)
            await over.wait()

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(ask(number))
        await settle()
        assert having == [0, 1, 2, 3]
        turns.flowing()
        await settle()
        assert having == [0, 1, 2, 3]  # not yet
        clock.now += STEP_SECONDS
        turns.flowing()
        await settle()
        assert having == [0, 1, 2, 3, 4]
        assert said == [Connections(5)]
        over.set()
    assert having == list(range(8))


async def test_one_that_is_broken_off_gives_its_turn_back(turns: Turns) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(turns.take())
        for _ in range(5):
            with pytest.raises(asyncio.CancelledError):
                async with asyncio.timeout(5), turns.take():
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
        (lambda: BadAnswer("nonsense"), 3, 4),
    ],
)
async def test_what_becomes_of_a_request_decides_how_many_there_are(
    turns: Turns,
    said: list[Event],
    problem: Callable[[], SourceError],
    times: int,
    left: int,
) -> None:
    for _ in range(times):
        with pytest.raises(SourceError):
            async with turns.take():
                raise problem()
    counts = [event.count for event in said if isinstance(event, Connections)]
    assert (counts or [4])[-1] == left
    async with AsyncExitStack() as stack:
        for _ in range(left):
            await stack.enter_async_context(turns.take())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0), turns.take():
                pytest.fail("one too many")


async def test_a_number_that_was_asked_for_stays(clock: Clock, said: list[Event]) -> None:
    turns = Turns(Limits(connections=6, first_connections=6), said.append)
    for _ in range(3):
        with pytest.raises(Unreachable):
            async with turns.take():
                raise Unreachable("timed out")
    clock.now += 1e6
    turns.flowing()
    assert said == []
