"""Quantities as people write them: sizes (``500k``), durations (``30d``), shares (``1%``)."""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass

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


_NUMBER = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"
_PLAIN_NUMBER = re.compile(_NUMBER, re.ASCII)
_PARTS = re.compile(rf"(?:{_NUMBER}[smhdw])+", re.ASCII)
_PART = re.compile(rf"({_NUMBER})([smhdw])", re.ASCII)
_SECONDS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
# About 30 years. The timers of the system overflow at a few times that.
_MAX_DURATION = 1e9


def parse_duration(value: object) -> float | None:
    """Seconds, from text like ``30d``, ``2h``, ``1h30m`` or a number; None for anything else."""
    if isinstance(value, str):
        text = value.strip()
        if _PLAIN_NUMBER.fullmatch(text):
            seconds = float(text)
        elif _PARTS.fullmatch(text):
            parts = _PART.findall(text)
            lengths = [_SECONDS[unit] for _number, unit in parts]
            if lengths != sorted(set(lengths), reverse=True):  # 30m1h, 1h1h
                return None
            seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
        else:
            return None
    else:
        amount = parse_amount(value)
        if amount is None:
            return None
        seconds = amount
    return seconds if seconds <= _MAX_DURATION else None


def spell_duration(seconds: float) -> str:
    """Return a duration as :func:`parse_duration` reads it: ``30s``, ``90m``, ``1d``, ``0``."""
    if not seconds:
        return "0"
    units = [unit for unit in ("d", "h", "m", "s") if seconds % _SECONDS[unit] == 0]
    unit = units[0] if units else "s"
    return f"{seconds / _SECONDS[unit]:g}{unit}"


@dataclass(frozen=True, slots=True)
class Share:
    """A number of files, or a part of all of them (``percent``)."""

    count: int | None = None
    percent: float = 0.0

    def of(self, total: int, at_least: int = 0) -> int:
        """Return how many of ``total`` files this is, a percentage rounded up.

        ``at_least``: what a percentage is at least; a number is exact.
        """
        if self.count is not None:
            return self.count
        return max(at_least, math.ceil(total * self.percent / 100)) if self.percent else 0

    def __str__(self) -> str:
        return f"{self.percent:g}%" if self.count is None else str(self.count)


_SHARE = re.compile(
    r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,6})?)\s*%|(?P<count>[0-9]{1,15})", re.ASCII
)
_MAX_PERCENT = 100


def parse_share(value: object) -> Share | None:
    """A number of files or a percentage, from text like ``20`` or ``1%`` or from a whole number;
    None for anything else."""
    if isinstance(value, Share):
        return value
    if isinstance(value, str):
        match = _SHARE.fullmatch(value.strip())
        if match is None:
            return None
        if match["count"] is not None:
            return Share(int(match["count"]))
        percent = float(match["number"])
        return Share(percent=percent) if percent <= _MAX_PERCENT else None
    if isinstance(value, float):
        return None
    count = parse_amount(value)
    return None if count is None else Share(int(count))
