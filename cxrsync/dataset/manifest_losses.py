"""What a new manifest does not list any more, and whether that is more than a publisher means.

A version's manifest may lose some lines: files are withdrawn. Where it loses more than a tenth of
them it is more likely that the server lost them, and a person must look.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cxrsync.manifest.diff import removed
from cxrsync.manifest.key_ranges import KeyRange, is_in_key_ranges
from cxrsync.manifest.parse import parse_line
from cxrsync.model import Entry
from cxrsync.storage.partial import Partial
from cxrsync.storage.sidecar import ObjectVersion

MAX_LOST = 0.1
_MAX_NAMED = 10


@dataclass(frozen=True, slots=True)
class Losses:
    """So many of ``total`` files are not listed any more; the first of them by name."""

    count: int
    total: int
    named: tuple[str, ...]

    @property
    def too_many(self) -> bool:
        """Whether a person must look."""
        return self.count > MAX_LOST * self.total

    def __str__(self) -> str:
        more = self.count - len(self.named)
        named = ", ".join(self.named) + (f" and {more:,} more" if more else "")
        return f"{self.count:,} of {self.total:,} files ({named})"


def losses(old: Iterable[Entry], new: Iterator[Entry]) -> Losses:
    """What of ``old`` is not in ``new``; both in the order of the manifest."""
    total = count = 0
    named: list[str] = []

    def counted() -> Iterator[Entry]:
        nonlocal total
        for entry in old:
            total += 1
            yield entry

    for path in removed(counted(), new):
        count += 1
        if len(named) < _MAX_NAMED:
            named.append(path)
    return Losses(count, total, tuple(named))


@dataclass(frozen=True, slots=True)
class EarlierSlices:
    """The slices of a manifest that were here before the source was asked whether they are still
    its own, some MB at the most: with another ETag they are given up, and may be wanted back."""

    epoch: int
    object_version: ObjectVersion | None
    pieces: tuple[tuple[int, bytes], ...]

    @classmethod
    def of(cls, partial: Partial) -> EarlierSlices | None:
        """Those that lie there; None where there are none. Raises OSError."""
        if not partial.ranges:
            return None
        pieces = tuple((start, partial.read(start, stop)) for start, stop in partial.ranges)
        return cls(partial.generation, partial.object_version, pieces)

    def entries(self, keys: Iterable[KeyRange] | None = None) -> list[Entry]:
        """What they list, in order: every line that is whole, within ``keys`` (None: all)."""
        found: dict[str, Entry] = {}
        ranges = None if keys is None else tuple(keys)
        for start, data in self.pieces:
            whole = data[data.find(b"\n") + 1 :] if start else data
            for line in whole[: whole.rfind(b"\n") + 1].split(b"\n"):
                entry = parse_line(line, 0)
                if isinstance(entry, Entry) and (
                    ranges is None or is_in_key_ranges(ranges, entry.path)
                ):
                    found[entry.path] = entry
        return [found[path] for path in sorted(found)]

    def restore(self, partial: Partial) -> None:
        """Put them back in the place of what came since. Raises OSError."""
        partial.discard()
        if self.object_version is not None:
            partial.bind(self.object_version)
        for start, data in self.pieces:
            partial.write(start, [data], partial.generation)
        partial.save()
