"""Where in a sorted manifest a path lies: bisection, purely, by way of a few small byte ranges.

PhysioNet's manifests are in byte order of the path (``LC_ALL=C sort -k2``) and up to 77 MB large.
One subject's lines are found with some 50 KB of that. Whoever drives :func:`seek` fetches.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace

from cxrsync.manifest.parse import BYTE_ORDER_MARK, COMMENT

Range = tuple[int, int]

_DIGEST_HEX = 64
_UNUSUAL = (COMMENT, BYTE_ORDER_MARK)
# Several lines of the usual ~130 bytes.
_PROBE = 1024
# An interval of so many bytes, or fewer, is read whole: another round trip would cost more.
_SMALL = 16 * 1024


class ManifestNotSorted(Exception):
    """What was seen of a manifest is not in order; only reading all of it tells what it holds."""


def path_of(line: bytes) -> bytes:
    """The path of a manifest's line, ended or not; empty for a blank line, a comment, or a line
    that is none of a manifest's.

    Only the separator goes, as in ``parse_line``: one more blank or asterisk is the path's.
    """
    if line.startswith(_UNUSUAL):
        line = b"" if line.startswith(COMMENT) else line.removeprefix(BYTE_ORDER_MARK)
    path = line[_DIGEST_HEX + 1 :].rstrip(b"\r\n")
    if path.startswith((b" ", b"*")):
        path = path[1:]
    while path.startswith(b"./"):
        path = path[2:]
    return path


def prefix_range(prefix: bytes) -> tuple[bytes, bytes]:
    """``(low, high)``: exactly the paths that begin with ``prefix`` are ``low <= path < high``.

    Raises ValueError for an empty prefix, or one whose last byte is 0xff: no such ``high`` exists,
    or none so simple.
    """
    if not prefix or prefix[-1] == 0xFF:
        message = f"no range of paths for the prefix {prefix!r}"
        raise ValueError(message)
    return prefix, prefix[:-1] + bytes([prefix[-1] + 1])


def seek(
    key: bytes, total: int, fan: int = 8
) -> Generator[tuple[Range, ...], tuple[bytes, ...], int]:
    """Find the first line whose path is ``key`` or comes after it; ``total`` is all the bytes.

    Yields half-open byte ranges, all of which may be fetched at the same time; wants to be sent
    their bytes, in the same order. Returns the offset of the line, or ``total`` if there is none.
    What is asked for depends on key, total, fan and content alone. It may overlap what was asked
    for before: whoever keeps those bytes need not fetch them again.

    Each round divides what is left by ``fan``, with one probe fewer. Raises ManifestNotSorted if
    what was seen is not in order, ValueError if a block is not as long as its range, or for ``fan <
    2``.
    """
    if fan < 2 or total < 0:
        message = f"cannot divide {total} bytes by {fan}"
        raise ValueError(message)
    left = _Interval(0, total)
    undecided: list[int] = []
    while not undecided and left.width > _SMALL:
        width = left.width
        undecided = [left.low + width * i // fan for i in range(1, fan)]
        size = _PROBE
        # Probes that would cover half of the interval or more are not worth it: they tell no more
        # than the whole. And so none of them reaches the next one, or the interval's end.
        while undecided and left.width > _SMALL and 2 * size * fan <= width:
            ranges = tuple((start, start + size) for start in undecided)
            blocks = _checked(ranges, (yield ranges))
            seen = [
                list(_lines_within(block, start))
                for start, block in zip(undecided, blocks, strict=True)
            ]
            left = left.narrowed(key, [line for lines in seen for line in lines])
            # A long line, or many blank ones: asked again, larger, if the answer is still wanted.
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
    """A line that has a path, and where it lies, its end included."""

    start: int
    stop: int
    path: bytes


@dataclass(frozen=True, slots=True)
class _Interval:
    """The bytes among which the line begins, unless it is the one at ``high``.

    Both ends are beginnings of lines: ``below`` is the last path known to come before the key,
    ``above`` that of the line at ``high``, None at the manifest's end.
    """

    low: int
    high: int
    below: bytes = b""
    above: bytes | None = None

    @property
    def width(self) -> int:
        return self.high - self.low

    def narrowed(self, key: bytes, lines: list[_Line]) -> _Interval:
        """What is left, now that these lines were seen in it. Raises ManifestNotSorted."""
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
    """The blocks, if each is as long as its range. Raises ValueError."""
    wanted = [stop - start for start, stop in ranges]
    if [len(block) for block in blocks] != wanted:
        message = f"asked for {wanted} bytes, got {[len(block) for block in blocks]}"
        raise ValueError(message)
    return blocks


def _lines(block: bytes, at: int) -> Iterator[_Line]:
    """The lines of a block that begins with one and ends with one, at offset ``at``."""
    for line in io.BytesIO(block):  # unlike splitlines, it leaves a lone CR alone
        path = path_of(line)
        if path:
            yield _Line(at, at + len(line), path)
        at += len(line)


def _lines_within(block: bytes, at: int) -> Iterator[_Line]:
    """The whole lines of a block from anywhere: those that begin and end in it."""
    first = block.find(b"\n") + 1
    return _lines(block[first : block.rfind(b"\n") + 1], at + first)
