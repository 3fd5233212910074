"""Round numbers for the top of an axis."""

from __future__ import annotations

from math import floor, log10

_STEPS = (1.0, 2.0, 5.0, 10.0)


def round_top(value: float) -> float:
    """The smallest of 1, 2 or 5 times a power of ten that is not below ``value``; 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next((step * power for step in _STEPS if step * power >= value), 10 * power)
