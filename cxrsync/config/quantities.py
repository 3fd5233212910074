"""Sizes and rates as people write them: ``500k``, ``2M``, ``2MB``, ``50G``."""

from __future__ import annotations

import operator
import re

# Powers of 1,024, as wget, curl and rclone have them; with or without a B.
_AMOUNT = re.compile(
    r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,9})?)(?P<unit>[kKmMgGtT]?)(?:i?B)?", re.ASCII
)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_MAX_AMOUNT = (1 << 63) - 1


def parse_amount(value: object) -> float | None:
    """Bytes, or bytes per second; None for what is neither text of that form nor a number."""
    amount: float
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        match = _AMOUNT.fullmatch(value.strip())
        if match is None:
            return None
        amount = float(match["number"]) * _UNITS[match["unit"].lower()]
    elif isinstance(value, float):
        amount = value
    else:
        try:
            amount = operator.index(value)  # type: ignore[arg-type]  # numpy's, too
        except TypeError:
            return None
    return float(amount) if 0 <= amount <= _MAX_AMOUNT else None  # nor NaN
