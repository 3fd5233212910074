"""An event loop on a clock of its own: whoever sleeps wakes at once, and the time has passed."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import pytest


class Clock:
    """Seconds, as ``time.monotonic`` and ``slept_seconds`` would tell them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept = 0.0

    def __call__(self) -> float:
        return self.now

    def rules(self, monkeypatch: pytest.MonkeyPatch, *modules: Any) -> None:
        """These modules read this clock."""
        for module in modules:
            if hasattr(module, "monotonic"):
                monkeypatch.setattr(module, "monotonic", self)
            if hasattr(module, "slept_seconds"):
                monkeypatch.setattr(module, "slept_seconds", lambda: self.slept)


class _Selector(selectors.SelectSelector):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, selectors._EventMask]]:
        if timeout is None:
            raise RuntimeError("everybody waits for somebody else")
        self._clock.now += max(timeout, 0.0)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: Clock) -> None:
        super().__init__(_Selector(clock))
        self._clock = clock

    def time(self) -> float:
        return self._clock.now


def run(clock: Clock, story: Coroutine[Any, Any, Any]) -> Any:
    """What the story comes to, by this clock. Its threads, if it has any, have no time at all."""
    with asyncio.Runner(loop_factory=lambda: _Loop(clock)) as runner:
        return runner.run(story)


def virtually(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """The test, which has the fixture ``clock``, in a loop by that clock."""

    @functools.wraps(test)
    def by_clock(clock: Clock, **fixtures: Any) -> None:
        run(clock, test(clock=clock, **fixtures))

    return by_clock
