"""Clocks: the wall clock, and those that keep running while the machine sleeps."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

# Linux calls this clock CLOCK_BOOTTIME. On macOS it is CLOCK_MONOTONIC: Python's time.monotonic()
# reads another clock there, one that stops while the machine sleeps. None: the system has no such
# clock.
_BOOT_CLOCK: int | None = getattr(
    time, "CLOCK_MONOTONIC" if sys.platform == "darwin" else "CLOCK_BOOTTIME", None
)


def boottime() -> float:
    """Seconds since boot, including the time that the machine slept. Only differences count.

    Without such a clock this is the wall clock, which somebody may set back or forward.
    """
    return time.time() if _BOOT_CLOCK is None else time.clock_gettime(_BOOT_CLOCK)


def slept_seconds() -> float:
    """Seconds since boot that the machine slept. Only differences between two calls count.

    Without a clock that could tell, this is 0.
    """
    return 0.0 if _BOOT_CLOCK is None else time.clock_gettime(_BOOT_CLOCK) - time.monotonic()


def utc_now() -> datetime:
    """The time by the wall clock, which somebody may set back or forward."""
    return datetime.now(UTC)
