"""How long the machine has slept: the difference of two clocks."""

import time

import pytest

from cxrsync.transfer import machine_sleep as module


def test_awake_it_does_not_grow() -> None:
    before = module.slept_seconds()
    assert abs(module.slept_seconds() - before) < 1.0


@pytest.mark.skipif(module._AWAKE_AND_ASLEEP is None, reason="no clock that runs while asleep")
def test_what_only_the_one_clock_has_seen_was_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    before, real = module.slept_seconds(), time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda clock: real(clock) + 3600)
    assert module.slept_seconds() - before == pytest.approx(3600, abs=1.0)


def test_without_such_a_clock_nobody_has_slept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AWAKE_AND_ASLEEP", None)
    assert module.slept_seconds() == 0.0
