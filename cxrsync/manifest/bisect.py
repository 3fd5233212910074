"""Finds a path in a sorted manifest by bisection, from a few small byte ranges. Pure.

PhysioNet's manifests are sorted by the bytes of the path (``LC_ALL=C sort -k2``) and up to 77 MB
large. Some 50 KB of that suffice to find one subject's lines. The caller of :func:`seek` fetches
the ranges that it asks for.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace

from cxrsync.manifest.parse import BYTE_ORDER_MARK, COMMENT

Range = tuple[int, int]

_DIGEST_HEX = 64
_UNUSUAL = (COMMENT, BYTE_ORDER_MARK)
_MAY_BE_CUT = (b"", b" ", b"*", b".")
# Several lines of the usual ~130 bytes.
_PROBE = 1024
# An interval of at most so many bytes is read whole: another round trip would cost more.
_SMALL = 16 * 1024


class ManifestNotSorted(Exception):
    """The lines seen so far are not sorted. Only reading the whole manifest tells what it holds."""


def path_of(line: bytes) -> bytes:
    """Return the path in a line, with or without its newline; empty for a blank line, a comment, or
    a line that is not a manifest's.

    As in ``parse_line``, only the separator is removed: a further blank or asterisk belongs to the
    path.
    """
    if line.startswith(_UNUSUAL):
        line = b"" if line.startswith(COMMENT) else line.removeprefix(BYTE_ORDER_MARK)
    path = line[_DIGEST_HEX + 1 :].rstrip(b"\r\n")
    if path.startswith((b" ", b"*")):
        path = path[1:]
    while path.startswith(b"./"):
        path = path[2:]
    return path


def paths_of(lines: bytes) -> list[bytes] | None:
    """Return :func:`path_of` of each of several whole lines, if that is all after digest and one
    character for each of them; else None. It takes a quarter of the time."""
    if lines.startswith(_UNUSUAL) or b"\n" + COMMENT in lines or b"\r" in lines:
        return None
    paths = [line[_DIGEST_HEX + 1 :] for line in lines.removesuffix(b"\n").split(b"\n")]
    # A blank or an asterisk may belong to the separator, "./" does not belong to the path.
    return paths if {path[:1] for path in paths}.isdisjoint(_MAY_BE_CUT) else None


def prefix_range(prefix: bytes) -> tuple[bytes, bytes]:
    """Return ``(low, high)``: exactly the paths that begin with ``prefix`` are
    ``low <= path < high``.

    Raises ValueError for an empty prefix, or one whose last byte is 0xff: it has no such ``high``.
    """
    if not prefix or prefix[-1] == 0xFF:
        message = f"no range of paths for the prefix {prefix!r}"
        raise ValueError(message)
    return prefix, prefix[:-1] + bytes([prefix[-1] + 1])


def seek(
    key: bytes, total: int, fan_out: int = 8
) -> Generator[tuple[Range, ...], tuple[bytes, ...], int]:
    """Find the first line whose path is ``key`` or sorts after it. ``total``: all bytes.

    Yields half-open byte ranges, which may all be fetched at the same time. The caller sends their
    bytes, in the same order. Returns the offset of the line, or ``total`` if there is none. The
    ranges depend only on the key, the total, the fan-out and the content. They may overlap earlier
    ones: a caller that keeps those bytes need not fetch them again.

    Each round divides the remaining interval into ``fan_out`` parts, with one probe fewer. Raises
    ManifestNotSorted if the lines seen are not sorted; ValueError if a block is not as long as its
    range, or if ``fan_out < 2``.
    """
    if fan_out < 2 or total < 0:
        message = f"cannot divide {total} bytes by {fan_out}"
        raise ValueError(message)
    left = _Interval(0, total)
    undecided: list[int] = []
    while not undecided and left.width > _SMALL:
        width = left.width
        undecided = [left.low + width * i // fan_out for i in range(1, fan_out)]
        size = _PROBE
        # Probes that cover half of the interval or more are not worth it: they tell no more than
        # the whole. This also keeps them from reaching the next probe or the interval's end.
        while undecided and left.width > _SMALL and 2 * size * fan_out <= width:
            ranges = tuple((start, start + size) for start in undecided)
            blocks = _checked(ranges, (yield ranges))
            seen = [
                list(_lines_within(block, start))
                for start, block in zip(undecided, blocks, strict=True)
            ]
            left = left.narrowed(key, [line for lines in seen for line in lines])
            # No whole line was seen (a long one, or blank ones): probe more, if still undecided.
            undecided = [
                start
                for start, lines in zip(undecided, seen, strict=True)
                if not lines and left.low < start < left.high
            ]
            size *= 2
    if left.width:
        ranges = ((left.low, left.high),)
        [block] = _checked(ranges, (yield ranges))
        left = left.narrowed(key, list(_lines(block, left.low)))
    return left.high


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that has a path, and its byte range, with its newline."""

    start: int
    stop: int
    path: bytes


@dataclass(frozen=True, slots=True)
class _Interval:
    """The bytes in which the line begins, unless it is the line at ``high``.

    Lines begin at both ends. ``below``: the last path known to sort before the key. ``above``: the
    path of the line at ``high``, or None at the end of the manifest.
    """

    low: int
    high: int
    below: bytes = b""
    above: bytes | None = None

    @property
    def width(self) -> int:
        return self.high - self.low

    def narrowed(self, key: bytes, lines: list[_Line]) -> _Interval:
        """Return what remains of the interval after these lines. Raises ManifestNotSorted."""
        last = self.below
        for line in lines:
            if line.path < last or (self.above is not None and line.path > self.above):
                message = f"the manifest's line at byte {line.start} is out of order"
                raise ManifestNotSorted(message)
            last = line.path
        left = self
        for line in lines:
            if line.path >= key:
                return replace(left, high=line.start, above=line.path)
            left = replace(left, low=line.stop, below=line.path)
        return left


def _checked(ranges: Iterable[Range], blocks: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return the blocks if each is as long as its range. Raises ValueError."""
    wanted = [stop - start for start, stop in ranges]
    if [len(block) for block in blocks] != wanted:
        message = f"asked for {wanted} bytes, got {[len(block) for block in blocks]}"
        raise ValueError(message)
    return blocks


def _lines(block: bytes, at: int) -> Iterator[_Line]:
    """Yield the lines of a block at offset ``at`` that begins and ends with a whole line."""
    for line in io.BytesIO(block):  # unlike splitlines, it does not split at a lone CR
        path = path_of(line)
        if path:
            yield _Line(at, at + len(line), path)
        at += len(line)


def _lines_within(block: bytes, at: int) -> Iterator[_Line]:
    """Yield the whole lines of a block from anywhere: those that begin and end in it."""
    first = block.find(b"\n") + 1
    return _lines(block[first : block.rfind(b"\n") + 1], at + first)
