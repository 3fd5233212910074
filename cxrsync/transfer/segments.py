"""Which bytes of a file are still wanted, and which connection fetches which of them. Pure.

A connection that would otherwise be idle takes a free segment of a file, or the second part of the
longest segment that another connection is fetching. This one rule serves a large file, the last
files of a run, and a file that a kill left in several pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cxrsync.storage.byte_ranges import Range, gaps

# Bytes. For a smaller share a second request costs the server more than it gains.
MIN_SHARE = 2 << 20
_ALIGN = 1 << 16


@dataclass(slots=True, eq=False)
class Segment:
    """The wanted bytes ``[offset, stop)`` of a file; ``stop`` None: to its end, which is not known.

    ``offset`` grows as bytes arrive. ``stop`` shrinks when another connection takes the second
    part. ``busy``: a connection is fetching it.
    """

    offset: int
    stop: int | None
    busy: bool = False

    @property
    def done(self) -> bool:
        return self.stop is not None and self.offset >= self.stop

    @property
    def remaining(self) -> int:
        """How many bytes are still wanted; 0 if that is not known."""
        return 0 if self.stop is None else self.stop - self.offset


class Segments:
    """The segments of one file that are missing; with ``only``, the missing parts of these ranges.

    ``present``: the ranges that are there. ``total`` None: the size of the file is not known, and
    the last segment has no end.
    """

    def __init__(
        self, present: list[Range], total: int | None, only: Sequence[Range] | None = None
    ) -> None:
        self.total = total
        self._is_partial = only is not None
        if only is not None:
            wanted = [
                (max(start, begin), min(stop, end))
                for begin, end in only
                for start, stop in gaps(present, end)
            ]
            self._missing = [Segment(start, stop) for start, stop in wanted if start < stop]
        elif total is None:
            end = present[-1][1] if present else 0
            self._missing = [Segment(start, stop) for start, stop in gaps(present, end)]
            self._missing.append(Segment(end, None))
        else:
            self._missing = [Segment(start, stop) for start, stop in gaps(present, total)]

    @property
    def complete(self) -> bool:
        """Whether no byte is left to request. The partial knows whether each is on the disk."""
        return self.total is not None and all(segment.done for segment in self._missing)

    @property
    def busy(self) -> bool:
        """Whether a connection is fetching any segment."""
        return any(segment.busy for segment in self._missing)

    @property
    def lacking(self) -> int | None:
        """The number of bytes that are still wanted; None while the end of the file is unknown."""
        if any(segment.stop is None for segment in self._missing):
            return None
        return sum(segment.remaining for segment in self._missing)

    @property
    def longest(self) -> int:
        """How many bytes are left of the longest segment."""
        return max((segment.remaining for segment in self._missing), default=0)

    def learn_total(self, total: int) -> None:
        """Note that the file has ``total`` bytes.

        Raises ValueError if another size is known: that is another file, and its bytes must not
        mix with those of this one.
        """
        if self.total not in {None, total}:
            raise ValueError(f"a file of {self.total} bytes cannot have {total}")
        self.total = total
        for segment in self._missing:
            if segment.stop is None or (self._is_partial and segment.stop > total):
                segment.stop = total

    def take_idle(self, idle: int) -> Segment | None:
        """A free segment for one of ``idle`` connections without work; None if there is none."""
        self._missing = [segment for segment in self._missing if segment.busy or not segment.done]
        for segment in self._missing:
            if not segment.busy:
                segment.busy = True
                if idle > 1 and segment.remaining >= 2 * MIN_SHARE:
                    # The other idle connections find the rest free: no running request ends early.
                    self._cut(segment, segment.remaining - _share(segment.remaining, idle))
                return segment
        return None

    def split_longest(self, idle: int) -> Segment | None:
        """The second part of the longest segment, if it is long enough to be split; else None."""
        longest = max(self._missing, key=lambda segment: segment.remaining, default=None)
        if longest is None or longest.remaining < 2 * MIN_SHARE:
            return None
        taken = self._cut(longest, _share(longest.remaining, idle + 1))
        taken.busy = True
        return taken

    def _cut(self, segment: Segment, length: int) -> Segment:
        assert segment.stop is not None
        end = Segment(segment.stop - length, segment.stop)
        segment.stop = end.offset
        self._missing.append(end)
        return end


def _share(remaining: int, connections: int) -> int:
    return max(MIN_SHARE, remaining // connections // _ALIGN * _ALIGN)
