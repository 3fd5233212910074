"""Count the files that a new manifest no longer lists, and decide whether they are too many.

A manifest may lose some lines because files were withdrawn. If it loses more than a tenth of them,
a fault of the server is more likely, and a person must decide.
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
    """``count`` of ``total`` files are no longer listed; ``named``: the paths of the first ones."""

    count: int
    total: int
    named: tuple[str, ...]

    @property
    def too_many(self) -> bool:
        """Whether so many lines are lost that a person must decide."""
        return self.count > MAX_LOST * self.total

    def __str__(self) -> str:
        more = self.count - len(self.named)
        named = ", ".join(self.named) + (f" and {more:,} more" if more else "")
        return f"{self.count:,} of {self.total:,} files ({named})"


def find_losses(old: Iterable[Entry], new: Iterator[Entry]) -> Losses:
    """Return the entries of ``old`` that ``new`` lacks. Both are in the order of the manifest."""
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
    """The slices of a manifest as they were before the source was asked whether they are current.

    They are some MB at most, held in memory. If the source has another ETag, the partial discards
    them; if the new manifest is then refused, they are restored.
    """

    generation: int
    object_version: ObjectVersion | None
    pieces: tuple[tuple[int, bytes], ...]

    @classmethod
    def read_from(cls, partial: Partial) -> EarlierSlices | None:
        """Read the slices from the partial; None if it is empty. Raises: OSError."""
        if not partial.ranges:
            return None
        pieces = tuple((start, partial.read(start, stop)) for start, stop in partial.ranges)
        return cls(partial.generation, partial.object_version, pieces)

    def entries(self, keys: Iterable[KeyRange] | None = None) -> list[Entry]:
        """Return the entries of all complete lines within ``keys`` (None: all), sorted by path."""
        found: dict[str, Entry] = {}
        ranges = None if keys is None else tuple(keys)
        for start, data in self.pieces:
            lines = data[data.find(b"\n") + 1 :] if start else data
            for line in lines[: lines.rfind(b"\n") + 1].split(b"\n"):
                entry = parse_line(line, 0)
                if isinstance(entry, Entry) and (
                    ranges is None or is_in_key_ranges(ranges, entry.path)
                ):
                    found[entry.path] = entry
        return [found[path] for path in sorted(found)]

    def restore(self, partial: Partial) -> None:
        """Replace the content of the partial with these slices. Raises: OSError."""
        partial.discard()
        if self.object_version is not None:
            partial.bind(self.object_version)
        for start, data in self.pieces:
            partial.write(start, [data], partial.generation)
        partial.save()
