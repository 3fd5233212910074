"""Count verified, unverified and missing files by partition and kind, and estimate missing bytes.

The manifest has no sizes. They are estimated, in this order, from the sizes of earlier responses,
from the published total of the version, and from the means of the catalogue. The estimate names
which of them it is based on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from cxrsync.model import Kind, partition_of
from cxrsync.progress_events import ExpectedSizes

# The mean size of fewer files is not a useful estimate for the others.
_MIN_SAMPLE = 20

LEARNED = "sizes learned so far"
PUBLISHED = "the version's published total"
CATALOGUE = "the catalogue's means"

# How many files that arrive an expectation outweighs. A published total holds for the whole
# version, the catalogue's means for one dataset; a selection may differ from both.
_WEIGHTS = {PUBLISHED: 200.0, CATALOGUE: 50.0}
# The standard deviation of one size as a part of the mean: images of one dataset are alike, tables
# and archives are not.
_SPREADS = {Kind.IMAGES: 0.5, Kind.REPORTS: 0.7}
_USUAL_SPREAD = 1.5


@dataclass(slots=True)
class Count:
    """A number of files. The sizes of ``sized`` of them are known; their sum is ``bytes``."""

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
    """The files of a plan, counted by partition and kind.

    ``folders``: the number of folders that the missing files need; some may exist already.
    """

    kind_of: Callable[[str], Kind]
    present: Counts = field(default_factory=_counts)
    missing: Counts = field(default_factory=_counts)
    unverified: Counts = field(default_factory=_counts)
    derived: Counts = field(default_factory=_counts)
    folders: int = 0
    _last_folder: str = ""
    _last_parts: list[str] = field(default_factory=list)
    _last_present: tuple[str, Kind] | None = None
    _last_count: Count = field(default_factory=Count)

    def add_missing(self, path: str, kind: Kind, size: int | None) -> None:
        """Count a file to fetch. Call it in the order of the paths.

        ``size``: the size that a record has for it, None if unknown.
        """
        self.missing[partition_of(path), kind].add(size)
        folder = path.rpartition("/")[0]
        if folder != self._last_folder:
            parts = folder.split("/") if folder else []
            common = 0
            for part, last_part in zip(parts, self._last_parts, strict=False):
                if part != last_part:
                    break
                common += 1
            self.folders += len(parts) - common
            self._last_folder, self._last_parts = folder, parts

    def add_present(self, path: str, size: int) -> None:
        """Count a verified file."""
        partition, kind = partition_of(path), self.kind_of(path)
        last = self._last_present
        # Most follow one of the same: an enumeration takes long to hash.
        if last is None or kind is not last[1] or partition != last[0]:
            self._last_present = partition, kind
            self._last_count = self.present[partition, kind]
        self._last_count.add(size)

    def add_all_present(self, partition: str, paths: Sequence[str], sizes: Sequence[int]) -> None:
        """Count verified files of one partition."""
        kinds = list(map(self.kind_of, paths))
        if kinds.count(kinds[0]) == len(kinds):  # in a shard of images nearly always
            count = self.present[partition, kinds[0]]
            count.files += len(sizes)
            count.sized += len(sizes)
            count.bytes += sum(sizes)
            return
        for kind, size in zip(kinds, sizes, strict=True):
            self.present[partition, kind].add(size)

    def add_unverified(self, path: str, size: int) -> None:
        """Count a file that is there and has to be hashed."""
        self.unverified[partition_of(path), self.kind_of(path)].add(size)

    def add_derived(self, path: str, size: int) -> None:
        """Count a file of so many bytes that a smaller copy has replaced."""
        self.derived[partition_of(path), self.kind_of(path)].add(size)


def by_kind(counts: Mapping[tuple[str, Kind], Count]) -> dict[Kind, Count]:
    """Return the counts of each kind over all partitions."""
    sums: dict[Kind, Count] = {}
    for (_partition, kind), count in counts.items():
        sums[kind] = sums.get(kind, Count()) + count
    return sums


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimated size of the missing files.

    ``bytes``: their sum. ``unknown``: the number of files without an estimate, which are not in the
    sum. ``basis``: where the sizes are from. ``means``: the estimate for one file of each kind.
    ``without_total``: why the published total, which would be a better basis, is not known.
    ``sizes``: the same estimate by kind, for the progress.
    """

    bytes: int
    unknown: int
    basis: tuple[str, ...]
    means: Mapping[Kind, float]
    without_total: str = ""
    sizes: tuple[ExpectedSizes, ...] = ()

    @property
    def needs_total(self) -> bool:
        """Whether the published total of the version could change the estimate."""
        return bool(self.unknown) or CATALOGUE in self.basis


def estimate(
    inventory: Inventory,
    means: Mapping[Kind, int],
    published: int | None = None,
    files_of_version: Mapping[Kind, int] | None = None,
) -> Estimate:
    """Estimate the bytes of the missing files of an inventory.

    ``means``: the mean sizes in the catalogue. ``published``: the published total of the version in
    bytes. It is used only together with ``files_of_version``, the number of files of each kind in
    the whole version.
    """
    missing = by_kind(inventory.missing)
    learned = by_kind(inventory.present)
    others = (by_kind(inventory.unverified), by_kind(inventory.derived), missing)
    for kind, count in (item for counts in others for item in counts.items()):
        learned[kind] = learned.get(kind, Count()) + Count(count.sized, count.sized, count.bytes)
    usual: Mapping[Kind, float] = means
    source = CATALOGUE
    if published is not None and files_of_version:
        usual, source = _scaled(means, published, files_of_version), PUBLISHED
    taken: dict[Kind, float] = {}
    basis: dict[str, None] = {}
    sizes = []
    total, unknown = 0.0, 0  # rounded only at the end, so that a whole version has its exact total
    for kind, count in missing.items():
        total += count.bytes
        rest = count.files - count.sized
        known = learned.get(kind, Count())
        if count.sized:
            basis[LEARNED] = None
        rest_basis, weight = "", 0.0
        if rest and known.sized >= min(_MIN_SAMPLE, rest):
            taken[kind] = known.bytes / known.sized
            rest_basis, weight = LEARNED, float(known.sized)
        elif rest and kind in usual:
            taken[kind] = usual[kind]
            rest_basis, weight = source, _WEIGHTS[source]
        else:
            unknown += rest
        if rest_basis:
            basis[rest_basis] = None
        total += rest * taken.get(kind, 0)
        sizes.append(_expected(kind, count, taken.get(kind), weight, rest_basis))
    return Estimate(round(total), unknown, tuple(basis), taken, sizes=tuple(sizes))


def _expected(
    kind: Kind, count: Count, mean: float | None, weight: float, basis: str
) -> ExpectedSizes:
    """Return the expected sizes of the missing files of one kind; ``mean``: of the unsized ones."""
    rest = count.files - count.sized
    if not rest:
        return ExpectedSizes(kind, count.files, count.bytes, inf, 0.0, LEARNED)
    spread = _SPREADS.get(kind, _USUAL_SPREAD) * rest / count.files
    whole = count.bytes + rest * (mean or 0.0)
    return ExpectedSizes(kind, count.files, whole, weight, spread, basis)


def _scaled(
    means: Mapping[Kind, int], published: int, files_of_version: Mapping[Kind, int]
) -> dict[Kind, float]:
    """Return the means, scaled by one factor so that the version has its published total.

    If the catalogue has no means, all files are taken to be of the same size.
    """
    weights = {kind: means.get(kind, 0 if means else 1) for kind in files_of_version}
    whole = sum(weights[kind] * count for kind, count in files_of_version.items())
    return {kind: weight * published / whole for kind, weight in weights.items()} if whole else {}
