"""What of a selection is here and what is missing, by partition and kind; what it will need.

Sizes are not in the manifest. They are taken, in this order, from what earlier answers told, from
the public total of the version, from the catalogue's means; and whichever it was is said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cxrsync.model import Kind, partition_of

# The mean of fewer files than this says little of the others.
_ENOUGH = 20

LEARNED = "sizes learned so far"
PUBLISHED = "the version's published total"
CATALOGUE = "the catalogue's means"


@dataclass(slots=True)
class Count:
    """So many files; the sizes of ``sized`` of them are known, ``bytes`` in all."""

    files: int = 0
    sized: int = 0
    bytes: int = 0

    def add(self, size: int | None) -> None:
        self.files += 1
        if size is not None:
            self.sized += 1
            self.bytes += size

    def __add__(self, other: Count) -> Count:
        return Count(self.files + other.files, self.sized + other.sized, self.bytes + other.bytes)


Counts = defaultdict[tuple[str, Kind], Count]


def _counts() -> Counts:
    return defaultdict(Count)


@dataclass(slots=True)
class Inventory:
    """What a plan has found, by partition and kind. ``folders`` to be made, at the most."""

    kind_of: Callable[[str], Kind]
    present: Counts = field(default_factory=_counts)
    missing: Counts = field(default_factory=_counts)
    unproved: Counts = field(default_factory=_counts)
    folders: int = 0
    _last: str = ""
    _parts: list[str] = field(default_factory=list)

    def add_missing(self, path: str, kind: Kind, size: int | None) -> None:
        """A file that has to be brought; paths come in order. ``size``: as a row remembers it."""
        self.missing[partition_of(path), kind].add(size)
        folder = path.rpartition("/")[0]
        if folder != self._last:
            parts = folder.split("/") if folder else []
            shared = 0
            for mine, other in zip(parts, self._parts, strict=False):
                if mine != other:
                    break
                shared += 1
            self.folders += len(parts) - shared
            self._last, self._parts = folder, parts

    def add_present(self, path: str, size: int) -> None:
        """A file that is here and proved."""
        self.present[partition_of(path), self.kind_of(path)].add(size)

    def add_unproved(self, path: str, size: int) -> None:
        """A file that is here and has to be hashed."""
        self.unproved[partition_of(path), self.kind_of(path)].add(size)


def by_kind(counts: Mapping[tuple[str, Kind], Count]) -> dict[Kind, Count]:
    """Counts of all partitions together."""
    found: dict[Kind, Count] = {}
    for (_partition, kind), count in counts.items():
        found[kind] = found.get(kind, Count()) + count
    return found


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is missing comes to about ``bytes``; of ``unknown`` files nothing is known. ``basis``
    says where the sizes are from, ``means`` what a file of each kind is taken for."""

    bytes: int
    unknown: int
    basis: tuple[str, ...]
    means: Mapping[Kind, float]


def estimate(
    inventory: Inventory,
    means: Mapping[Kind, int],
    published: int | None = None,
    everything: Mapping[Kind, int] | None = None,
) -> Estimate:
    """What the missing files of an inventory come to.

    ``means`` are the catalogue's; ``published`` is the total of the version in bytes, of use only
    with ``everything``: how many files of each kind the whole version has.
    """
    missing = by_kind(inventory.missing)
    learned = by_kind(inventory.present)
    for kind, count in [*by_kind(inventory.unproved).items(), *missing.items()]:
        learned[kind] = learned.get(kind, Count()) + Count(count.sized, count.sized, count.bytes)
    usual: Mapping[Kind, float] = means
    source = CATALOGUE
    if published is not None and everything:
        usual, source = _scaled(means, published, everything), PUBLISHED
    taken: dict[Kind, float] = {}
    basis: dict[str, None] = {}
    total, unknown = 0.0, 0  # rounded once: a whole version comes to its published total
    for kind, count in missing.items():
        total += count.bytes
        rest = count.files - count.sized
        known = learned.get(kind, Count())
        if count.sized:
            basis[LEARNED] = None
        if rest and known.sized >= min(_ENOUGH, rest):
            taken[kind] = known.bytes / known.sized
            basis[LEARNED] = None
        elif rest and kind in usual:
            taken[kind] = usual[kind]
            basis[source] = None
        else:
            unknown += rest
        total += rest * taken.get(kind, 0)
    return Estimate(round(total), unknown, tuple(basis), taken)


def _scaled(
    means: Mapping[Kind, int], published: int, everything: Mapping[Kind, int]
) -> dict[Kind, float]:
    """The means, all by one factor larger or smaller, so that the version comes to its published
    total. Where the catalogue has none, every file counts the same."""
    weights = {kind: means.get(kind, 0 if means else 1) for kind in everything}
    whole = sum(weights[kind] * count for kind, count in everything.items())
    return {kind: weight * published / whole for kind, weight in weights.items()} if whole else {}
