"""Sets of byte ranges: which bytes of a file are on the disk, and which are missing. Pure.

A range is a half-open pair ``(start, stop)``. A set is a sorted list of ranges that do not touch.
"""

from __future__ import annotations

from collections.abc import Iterable

Range = tuple[int, int]


def add(ranges: list[Range], start: int, stop: int) -> list[Range]:
    """Return the set with ``[start, stop)`` added; ranges that touch are joined."""
    if start >= stop:
        return ranges
    before = [r for r in ranges if r[1] < start]
    after = [r for r in ranges if r[0] > stop]
    touching = ranges[len(before) : len(ranges) - len(after)]
    if touching:
        start = min(start, touching[0][0])
        stop = max(stop, touching[-1][1])
    return [*before, (start, stop), *after]


def normal(ranges: Iterable[Range], total: int) -> list[Range]:
    """Return the set of any ranges, cut to ``[0, total)``."""
    result: list[Range] = []
    cut = ((max(start, 0), min(stop, total)) for start, stop in ranges)
    for start, stop in sorted(each for each in cut if each[0] < each[1]):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(stop, result[-1][1]))
        else:
            result.append((start, stop))
    return result


def gaps(ranges: list[Range], total: int) -> list[Range]:
    """Return the ranges of ``[0, total)`` that are not in the set."""
    missing = []
    at = 0
    for start, stop in ranges:
        if start >= total:
            break
        if start > at:
            missing.append((at, start))
        at = stop
    if at < total:
        missing.append((at, total))
    return missing


def size(ranges: list[Range]) -> int:
    """Return how many bytes the set holds."""
    return sum(stop - start for start, stop in ranges)


def is_whole(ranges: list[Range], total: int) -> bool:
    """Return whether the set is exactly ``[0, total)``."""
    return ranges == ([(0, total)] if total else [])


def frontier(ranges: list[Range]) -> int:
    """Return the offset of the first gap: all bytes before it are in the set."""
    return ranges[0][1] if ranges and ranges[0][0] == 0 else 0
