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


@pytest.mark.parametrize(
    ("nights", "is_behind"),
    [
        # How many nights ahead of the present clock the earlier runs were.
        ([], False),
        ([-1, -2, -3], False),
        ([0.9, -1, -2], False),  # another machine's clock
        ([365, -1, -2], False),  # one run of a clock that was ahead
        ([365, 364, -1, -2, -3], False),
        ([365, 364, 363, -1, -2, -3], True),
        ([30, 29, 28, 27, 26], True),
        ([30], True),
        ([30, -400], False),  # who knows? nothing is assumed
    ],
)
def test_a_clock_that_is_behind(nights: list[float], *, is_behind: bool) -> None:
    now = 1_800_000_000.0
    assert module.is_behind(now, [now + night * module.DAY for night in nights]) == is_behind


def test_a_stamp_and_its_time() -> None:
    assert module.stamp_of(1_800_000_000.25) == "20270115T080000.250000Z"
    assert module.time_of("20270115T080000.250000Z") == 1_800_000_000.25
    assert module.time_of("20270115T080000Z") == 1_800_000_000.0
    with pytest.raises(ValueError, match="does not match"):
        module.time_of("20270115T080000")
