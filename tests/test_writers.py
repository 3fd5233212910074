"""Small pieces are written where they are, large ones and those for a slow disk in threads."""

from __future__ import annotations

import threading

import pytest

from cxrsync import threads as module
from cxrsync.threads import SMALL, Writers


class Clock:
    """Each look takes ``step`` seconds."""

    def __init__(self) -> None:
        self.now, self.step = 0.0, 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


async def is_here(writers: Writers, size: int) -> bool:
    return await writers.run(threading.get_ident, size) == threading.get_ident()


async def test_small_here_and_large_in_a_thread(clock: Clock) -> None:
    writers = Writers()
    assert await is_here(writers, SMALL - 1)
    assert not await is_here(writers, SMALL)
    assert await is_here(writers, 0)


async def test_a_disk_that_makes_us_wait_is_left_to_a_thread_for_a_while(clock: Clock) -> None:
    writers = Writers()
    clock.step = 0.5
    assert await is_here(writers, 1)  # only now it shows
    clock.step = 0.0
    assert not await is_here(writers, 1)
    clock.now += 11
    assert await is_here(writers, 1)


@pytest.mark.parametrize("size", [1, SMALL])
async def test_what_goes_wrong_is_raised(size: int) -> None:
    def full() -> None:
        raise OSError(28, "no space")

    with pytest.raises(OSError, match="no space"):
        await Writers().run(full, size)
