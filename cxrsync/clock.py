"""Clocks: the wall clock, and those that keep running while the machine sleeps.

Whatever a run decides or records by the date goes by its :data:`Clock`, a parameter. So a season of
nights can be simulated. What compares with times of the disk, with a network or with another
process goes by the machine's own clocks.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

DAY = 86_400.0
# How many of the newest runs are asked whether the present clock can be right.
_WITNESSES = 5

Clock = Callable[[], float]
"""Returns the POSIX time. Two runs on one tree must not begin at the same time by it."""

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


def utc_now(now: Clock = time.time) -> datetime:
    """The time by the wall clock, which somebody may set back or forward."""
    return datetime.fromtimestamp(now(), UTC)


def time_stamp() -> str:
    """Return the local time, as lines of a log begin with it: 2026-11-26T04:28:13+00:00."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def stamp_of(now: float) -> str:
    """Return a POSIX time as the names of files on disk contain it: 20261126T042813.123456Z."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S.%fZ")


def time_of(stamp: str) -> float:
    """Return the POSIX time of a stamp, with or without a fraction. Raises ValueError."""
    form = "%Y%m%dT%H%M%S.%fZ" if "." in stamp else "%Y%m%dT%H%M%SZ"
    return datetime.strptime(stamp, form).replace(tzinfo=UTC).timestamp()


def is_ahead(at: float, now: float) -> bool:
    """Whether a recorded time is of the future: the clock was wrong then, or is wrong now. Clocks
    of several machines differ, so up to a day is none."""
    return at > now + DAY


def is_behind(now: float, runs: Sequence[float]) -> bool:
    """Whether most of the newest of ``runs`` are of the future: then it is the present clock that
    is wrong, and not those of these runs."""
    newest = sorted(runs)[-_WITNESSES:]
    return 2 * sum(is_ahead(each, now) for each in newest) > len(newest)
