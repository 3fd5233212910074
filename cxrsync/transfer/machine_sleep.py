"""How long this machine has slept: the difference of two clocks."""

from __future__ import annotations

import sys
import time

# A clock that runs while the machine sleeps, unlike time.monotonic(). None: there is none here.
_CLOCK_WITH_SLEEP: int | None = getattr(
    time, "CLOCK_MONOTONIC" if sys.platform == "darwin" else "CLOCK_BOOTTIME", None
)


def slept_seconds() -> float:
    """Seconds that the machine has slept; only the difference of two calls means anything."""
    if _CLOCK_WITH_SLEEP is None:
        return 0.0
    return time.clock_gettime(_CLOCK_WITH_SLEEP) - time.monotonic()
