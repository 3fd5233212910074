"""Make the plan: decide for each selected file by its entry, its record and the disk."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from cxrsync.events import Totals
from cxrsync.manifest.file import ManifestFile
from cxrsync.model import ROOT, Entry, FileRecord, FileStat, Kind, RejectedLine, partition_of
from cxrsync.plan.copies import CopyOrder, Need, check_sizes, need_of
from cxrsync.plan.estimate import Count, Inventory, by_kind
from cxrsync.plan.obstacles import Obstacles
from cxrsync.plan.survey import FileStatus, PresentFiles, Surveyed, survey_in_batches
from cxrsync.storage.tree import Tree

# These are fetched before the root's tables: a user who pulls images sees some of them at once.
_FIRST_IMAGES = 16


def _no_offsets() -> array[int]:
    return array("Q")


@dataclass(slots=True)
class Replaced:
    """Files that smaller copies have replaced.

    ``kept``: those that stay so, by their sizes; ``copies``: the bytes of their copies.
    ``returning``: how many are fetched again. ``others``: how many have a copy of another size than
    the one that is to be made; ``other_size``: of one of them, in pixels.
    """

    kept: Totals = field(default_factory=Totals)
    copies: int = 0
    returning: int = 0
    others: int = 0
    other_size: int = 0


@dataclass(frozen=True, slots=True)
class Copies:
    """What a plan knows of smaller copies. ``order``: what the run wants. ``has_copy``: whether the
    copy is there that a record names. ``is_image``: whether a copy can be made of a path.
    ``has_own``: whether the copy that the order wants is there, beside its original; it is asked in
    the order of the paths."""

    order: CopyOrder = field(default_factory=CopyOrder)
    has_copy: Callable[[FileRecord], bool] = lambda _record: False
    is_image: Callable[[str], bool] = lambda _path: False
    has_own: Callable[[Entry], bool] = lambda _entry: False

    def need(self, surveyed: Surveyed, status: FileStatus) -> Need:
        """Return what a file needs."""
        entry, record = surveyed.entry, surveyed.record
        is_image = self.order.pixels is not None and self.is_image(entry.path)
        return need_of(
            status,
            record.copy if record is not None else None,
            self.order,
            is_image=is_image,
            has_own=is_image and status is FileStatus.PRESENT and self.has_own(entry),
        )


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What the run wants to know beside its files. ``with_times``: the recorded times of files to
    fetch, for a source that tells none."""

    copies: Copies = field(default_factory=Copies)
    with_times: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The work to do in some partitions, and the files that are verified already.

    A file is held as the offset of its line in the manifest: eight bytes a file. Files to fetch are
    in three lists: ``in_shards`` (images), ``reports`` (one archive may hold all of them) and
    ``in_root`` (tables and all other files outside the shards).

    ``present``: the verified files. ``reusable``: files that a tree in ``older`` holds. ``moved``:
    the older path of each reusable file that had another path. ``copies_take_space``: whether
    reusable files become copies, and not links or clones. ``to_hash``: files that are on the disk
    and unverified. ``blocked``: files that cannot be published, each with the reason. ``due``: the
    hash of the path of each selected file that is not verified; each of them gets one outcome.
    ``gone``: how many files a state records as verified that are not on the disk any more, nor a
    copy that replaced them. ``to_copy``: verified images that need a smaller copy. ``order``: what
    the run wants of copies. ``replaced``: what copies have replaced, and what becomes of that.
    ``times``: the recorded times of files to fetch, in ns, by :func:`time_key`; only if asked for.
    """

    manifest: ManifestFile
    inventory: Inventory
    selected: int
    present: Totals
    in_shards: array[int]
    reports: array[int]
    in_root: array[int]
    to_hash: array[int]
    blocked: tuple[tuple[int, str], ...]
    rejected: tuple[RejectedLine, ...]
    due: array[int]
    reusable: array[int] = field(default_factory=_no_offsets)
    moved: Mapping[int, str] = field(default_factory=dict)
    older: tuple[Tree, ...] = ()
    copies_take_space: bool = True
    gone: int = 0
    to_copy: array[int] = field(default_factory=_no_offsets)
    order: CopyOrder = field(default_factory=CopyOrder)
    replaced: Replaced = field(default_factory=Replaced)
    times: Mapping[int, int] = field(default_factory=dict)

    @property
    def to_fetch(self) -> int:
        """The number of files to fetch, or to copy from an older version."""
        return len(self.in_shards) + len(self.reports) + len(self.in_root) + len(self.reusable)

    def to_fetch_of(self, kind: Kind) -> int:
        """Return the number of files of a kind to fetch, or to hash."""
        counts = (self.inventory.missing, self.inventory.unverified)
        return sum(by_kind(each).get(kind, Count()).files for each in counts)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do, because every selected file is verified."""
        return not (self.to_fetch or self.to_hash or self.to_copy or self.blocked)

    @property
    def verified(self) -> int:
        """The number of files that are verified, or that copies have replaced for good."""
        return self.present.files + len(self.to_copy) + self.replaced.kept.files

    @property
    def in_root_partition(self) -> int:
        """The number of files of the root partition that will get an outcome."""
        offsets = (*self.reusable, *(offset for offset, _reason in self.blocked))
        others = (
            *(self.entries_to_hash(), self.entries_to_copy()),
            map(self.manifest.entry_at, offsets),
        )
        return len(self.in_root) + sum(
            partition_of(entry.path) == ROOT for entries in others for entry in entries
        )

    def entries_to_fetch(self) -> Iterator[Entry]:
        """Yield the files to fetch: some images, then the root (tables), then the others."""
        entries_at = self.manifest.entries_at
        yield from entries_at(self.in_shards[:_FIRST_IMAGES])
        yield from entries_at(self.in_root)
        # By index, because a slice would copy the long array.
        others = (self.in_shards[index] for index in range(_FIRST_IMAGES, len(self.in_shards)))
        yield from entries_at(heapq.merge(self.reports, others))

    def entries_to_hash(self) -> Iterator[Entry]:
        """Yield the files that are on the disk and unverified."""
        return self.manifest.entries_at(self.to_hash)

    def entries_to_copy(self) -> Iterator[Entry]:
        """Yield the verified images that need a smaller copy."""
        return self.manifest.entries_at(self.to_copy)

    def entries_to_reuse(self) -> Iterator[tuple[Entry, str]]:
        """Yield the files that an older version holds, each with its path in that version."""
        for offset in self.reusable:
            entry = self.manifest.entry_at(offset)
            yield entry, self.moved.get(offset, entry.path)


def time_key(path: str, sha256: str) -> int:
    """Return the key of a file's time: a path may get other bytes in time."""
    return hash((path, sha256))


def make_plan(
    manifest: ManifestFile,
    is_wanted: Callable[[str], bool],
    records: Mapping[str, Iterator[FileRecord]],
    tree: Tree,
    kind_of: Callable[[str], Kind],
    options: PlanOptions = PlanOptions(),
) -> Plan:
    """Make the plan for every selected entry of the partitions in ``records``.

    Raises: DiskError if files could not be published later, because a folder is another mount or
    because the disk fails; UsageError if copies of another size replaced the files.
    """
    copies = options.copies
    builder = _PlanBuilder(kind_of, with_times=options.with_times)
    obstacles = Obstacles(manifest, tree)
    nothing_if_present = copies.order.pixels is None and not obstacles.clashes
    for found in survey_in_batches(manifest, is_wanted, records, tree, copies.has_copy):
        files: Iterable[Surveyed] = (found,) if isinstance(found, Surveyed) else found.each()
        if isinstance(found, PresentFiles) and nothing_if_present:  # most files of most runs
            builder.add_present(found)
            continue
        for surveyed in files:
            status = surveyed.status
            if nothing_if_present and status is FileStatus.PRESENT:
                builder.add(surveyed, Need.NOTHING, None)
                continue
            need = copies.need(surveyed, status)
            obstacle = obstacles.reason_for(surveyed.entry.path, surveyed.found, need)
            builder.add(surveyed, need, obstacle)
    replaced = builder.replaced
    check_sizes(copies.order, replaced.others, replaced.other_size)
    for partition in sorted({partition for partition, _kind in builder.inventory.missing}):
        tree.check_mount(partition)
    return replace(builder.build(manifest), order=copies.order)


class _PlanBuilder:
    """Collect the lists of a plan, one file after the other."""

    def __init__(self, kind_of: Callable[[str], Kind], *, with_times: bool) -> None:
        self._with_times = with_times
        self._times: dict[int, int] = {}
        self.inventory = Inventory(kind_of)
        self._kind_of = kind_of
        self._selected = 0
        self._present = 0
        self._present_bytes = 0
        self._in_shards, self._reports, self._in_root = array("Q"), array("Q"), array("Q")
        self._to_hash = array("Q")
        self._blocked: list[tuple[int, str]] = []
        self._due = array("q")
        self._gone = 0
        self._to_copy = array("Q")
        self.replaced = Replaced()

    def add_present(self, present: PresentFiles) -> None:
        """Add files that need nothing."""
        self._selected += len(present.sizes)
        self._present += len(present.sizes)
        self._present_bytes += sum(present.sizes)
        paths = [path for _sha256, path in present.batch.entries]
        self.inventory.add_all_present(present.partition, paths, present.sizes)

    def add(self, surveyed: Surveyed, need: Need, obstacle: str | None) -> None:
        """Add one selected file to the list of what it needs. ``obstacle``: why it is blocked."""
        offset, entry, record, found = surveyed
        self._selected += 1
        if obstacle is not None:
            self._blocked.append((offset, obstacle))
        elif need is Need.NOTHING:
            assert isinstance(found, FileStat)
            self._present += 1
            self._present_bytes += found.size
            self.inventory.add_present(entry.path, found.size)
            return
        elif need is Need.DERIVED or need is Need.OTHER_COPY:
            assert record is not None
            self._keep_replaced(record, need)
            return
        elif need is Need.COPY:
            assert isinstance(found, FileStat)
            self._to_copy.append(offset)
            self.inventory.add_present(entry.path, found.size)
        elif need is Need.HASH:
            assert isinstance(found, FileStat)
            self._to_hash.append(offset)
            self.inventory.add_unverified(entry.path, found.size)
        else:
            is_known = record is not None and record.sha256 == entry.sha256
            is_replaced = surveyed.status is FileStatus.DERIVED
            self._gone += is_known and found is None and not is_replaced
            self.replaced.returning += is_replaced
            if self._with_times and is_known and record is not None:
                self._times[time_key(entry.path, entry.sha256)] = record.mtime_ns
            kind = self._kind_of(entry.path)
            self.inventory.add_missing(
                entry.path, kind, record.size if is_known and record else None
            )
            self._list_of(entry.path, kind).append(offset)
        self._due.append(hash(entry.path))

    def _keep_replaced(self, record: FileRecord, need: Need) -> None:
        """Count a file that a copy has replaced, and that is not fetched again."""
        replaced, copy = self.replaced, record.copy
        assert copy is not None
        if need is Need.OTHER_COPY:
            replaced.others += 1
            replaced.other_size = copy.pixels
            return
        replaced.kept = Totals(replaced.kept.files + 1, replaced.kept.bytes + record.size)
        replaced.copies += copy.size
        self.inventory.add_derived(record.path, record.size)

    def _list_of(self, path: str, kind: Kind) -> array[int]:
        if partition_of(path) == ROOT:
            return self._in_root
        return self._reports if kind is Kind.REPORTS else self._in_shards

    def build(self, manifest: ManifestFile) -> Plan:
        """Return the plan. Call it after the last file."""
        return Plan(
            manifest,
            self.inventory,
            selected=self._selected,
            present=Totals(self._present, self._present_bytes),
            in_shards=self._in_shards,
            reports=self._reports,
            in_root=self._in_root,
            to_hash=self._to_hash,
            blocked=tuple(self._blocked),
            rejected=tuple(manifest.refused),
            due=self._due,
            gone=self._gone,
            to_copy=self._to_copy,
            replaced=self.replaced,
            times=self._times,
        )
