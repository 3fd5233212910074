"""Which bytes of a file are still wanted, and which connection fetches which, purely.

A connection that would otherwise idle takes a free stretch of a file in flight, or the end of the
longest stretch that another connection is at work on. So one rule serves a large file, the last
files of a run, and what a kill left of a file in segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cxrsync.storage.byte_ranges import Range, gaps

# Below this a second request costs the server more than it brings.
MIN_SHARE = 2 << 20
_ALIGN = 1 << 16


@dataclass(slots=True, eq=False)
class Segment:
    """Bytes ``[at, stop)`` of a file are wanted; ``stop`` None: to the end, wherever that is.

    ``at`` moves as bytes arrive; ``stop`` may come nearer when another connection takes the end.
    """

    offset: int
    stop: int | None
    busy: bool = False

    @property
    def done(self) -> bool:
        return self.stop is not None and self.offset >= self.stop

    @property
    def remaining(self) -> int:
        """How many bytes are still wanted; 0 where that is not known."""
        return 0 if self.stop is None else self.stop - self.offset


class Segments:
    """The stretches of one file that are not there yet; with ``only``, those of some ranges.

    ``total`` None: the file goes on behind the last byte that is there, nobody knows how far.
    """

    def __init__(
        self, present: list[Range], total: int | None, only: Sequence[Range] | None = None
    ) -> None:
        self.total = total
        self._in_part = only is not None
        if only is not None:
            wanted = [
                (max(start, begin), min(stop, end))
                for begin, end in only
                for start, stop in gaps(present, end)
            ]
            self._open = [Segment(start, stop) for start, stop in wanted if start < stop]
        elif total is None:
            end = present[-1][1] if present else 0
            self._open = [Segment(start, stop) for start, stop in gaps(present, end)]
            self._open.append(Segment(end, None))
        else:
            self._open = [Segment(start, stop) for start, stop in gaps(present, total)]

    @property
    def complete(self) -> bool:
        """Whether nothing is left to ask for. Whether every byte is there, the partial tells."""
        return self.total is not None and all(segment.done for segment in self._open)

    @property
    def busy(self) -> bool:
        """Whether some connection is at work here."""
        return any(segment.busy for segment in self._open)

    @property
    def longest(self) -> int:
        """The bytes left of the longest stretch."""
        return max((segment.remaining for segment in self._open), default=0)

    def learn_total(self, total: int) -> None:
        """The size of the file is now known to be ``total`` bytes.

        Raises ValueError for another size than was known: that is another file, and nothing that
        was counted for this one may be counted for it.
        """
        if self.total not in {None, total}:
            raise ValueError(f"a file of {self.total} bytes cannot have {total}")
        self.total = total
        for segment in self._open:
            if segment.stop is None or (self._in_part and segment.stop > total):
                segment.stop = total

    def take_idle(self, idle: int) -> Segment | None:
        """A stretch that nobody is at work on, for one of ``idle`` connections in need of work."""
        self._open = [segment for segment in self._open if segment.busy or not segment.done]
        for segment in self._open:
            if not segment.busy:
                segment.busy = True
                if idle > 1 and segment.remaining >= 2 * MIN_SHARE:
                    # The others come next, and find the rest free: no stream is cut off for them.
                    self._cut(segment, segment.remaining - _share(segment.remaining, idle))
                return segment
        return None

    def split_longest(self, idle: int) -> Segment | None:
        """The end of the longest stretch in work, if it is long enough to be shared."""
        longest = max(self._open, key=lambda segment: segment.remaining, default=None)
        if longest is None or longest.remaining < 2 * MIN_SHARE:
            return None
        taken = self._cut(longest, _share(longest.remaining, idle + 1))
        taken.busy = True
        return taken

    def _cut(self, segment: Segment, length: int) -> Segment:
        assert segment.stop is not None
        end = Segment(segment.stop - length, segment.stop)
        segment.stop = end.offset
        self._open.append(end)
        return end


def _share(left: int, among: int) -> int:
    return max(MIN_SHARE, left // among // _ALIGN * _ALIGN)
