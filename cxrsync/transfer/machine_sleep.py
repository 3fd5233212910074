"""How long this machine has slept."""

from __future__ import annotations

import sys
import time

# It goes on while the machine sleeps; time.monotonic() stands still. None: there is no such clock.
_AWAKE_AND_ASLEEP: int | None = getattr(
    time, "CLOCK_MONOTONIC" if sys.platform == "darwin" else "CLOCK_BOOTTIME", None
)


def slept_seconds() -> float:
    """Seconds since boot that the machine was asleep; only differences between two calls count."""
    if _AWAKE_AND_ASLEEP is None:
        return 0.0
    return time.clock_gettime(_AWAKE_AND_ASLEEP) - time.monotonic()
