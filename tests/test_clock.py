"""The clocks that keep running while the machine sleeps."""

import time

import pytest

from cxrsync import clock as module

needs_boot_clock = pytest.mark.skipif(module._BOOT_CLOCK is None, reason="no clock since boot")


def test_awake_no_sleep_is_counted() -> None:
    before = module.slept_seconds()
    assert abs(module.slept_seconds() - before) < 1.0


@needs_boot_clock
def test_time_that_only_the_boot_clock_counts_was_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    slept, now, real = module.slept_seconds(), module.boottime(), time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda clock: real(clock) + 3600)
    assert module.slept_seconds() - slept == pytest.approx(3600, abs=1.0)
    assert module.boottime() - now == pytest.approx(3600, abs=5.0)


def test_without_a_boot_clock_no_sleep_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BOOT_CLOCK", None)
    assert module.slept_seconds() == 0.0
    assert module.boottime() == pytest.approx(time.time(), abs=60)


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="Linux only")
def test_linux_has_a_boot_clock() -> None:
    assert module._BOOT_CLOCK == time.CLOCK_BOOTTIME
    assert module.boottime() <= module.boottime()
