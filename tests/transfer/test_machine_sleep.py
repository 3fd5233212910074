"""How long the machine has slept: the difference of two clocks."""

import time

import pytest

from cxrsync.transfer import machine_sleep as module


def test_it_does_not_grow_while_the_machine_is_awake() -> None:
    before = module.slept_seconds()
    assert abs(module.slept_seconds() - before) < 1.0


@pytest.mark.skipif(module._CLOCK_WITH_SLEEP is None, reason="no clock that runs while asleep")
def test_time_that_only_the_boot_clock_counts_was_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    before, real = module.slept_seconds(), time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda clock: real(clock) + 3600)
    assert module.slept_seconds() - before == pytest.approx(3600, abs=1.0)


def test_without_such_a_clock_the_machine_never_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CLOCK_WITH_SLEEP", None)
    assert module.slept_seconds() == 0.0
