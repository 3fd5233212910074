"""What is to do: decisions from what the manifest lists, the state records and the disk holds."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from cxrsync.events import Totals
from cxrsync.manifest.clashes import find_name_clashes
from cxrsync.manifest.file import ManifestFile
from cxrsync.model import ROOT, Entry, FileRecord, FileStat, Kind, RejectedLine, partition_of
from cxrsync.plan.estimate import Inventory
from cxrsync.plan.survey import FileStatus, Surveyed, file_status, survey
from cxrsync.sanitize import reason_of
from cxrsync.storage.filesystem import FolderInspector, other_mount_error, reading_error
from cxrsync.storage.tree import Tree

# A person who pulls images sees the first of them before the tables of the root come along.
_FIRST_IMAGES = 16


def _no_offsets() -> array[int]:
    return array("Q")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to do in some partitions, and what is done already.

    Files are held as the offsets of their lines in the manifest: eight bytes a file. Files to fetch
    stand in three lists: ``in_shards`` (images), ``reports`` (one archive may hold them all) and
    ``in_root`` (tables, and whatever else lies outside the shards).

    ``reusable``: files that a version in ``older`` holds; ``moved`` has the path there of those
    that had another path; ``copies_take_space``: whether they become copies, not links or clones.
    ``to_hash``: files that are there and unverified. ``blocked``: files that cannot be put in
    place, and why. ``due``: a hash of the path of each selected file that is not present; each of
    them gets one outcome.
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

    @property
    def to_fetch(self) -> int:
        """The number of files to fetch, or to copy from an older version."""
        return len(self.in_shards) + len(self.reports) + len(self.in_root) + len(self.reusable)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to do: every selected file is present."""
        return not (self.to_fetch or self.to_hash or self.blocked)

    @property
    def in_root_partition(self) -> int:
        """The number of files of the root partition that are still to get an outcome."""
        rare = (*self.reusable, *(offset for offset, _reason in self.blocked))
        others = (self.entries_to_hash(), map(self.manifest.entry_at, rare))
        return len(self.in_root) + sum(
            partition_of(entry.path) == ROOT for entries in others for entry in entries
        )

    def entries_to_fetch(self) -> Iterator[Entry]:
        """What to fetch: the first images, then the root (tables), then the others in order."""
        at = self.manifest.entries_at
        yield from at(self.in_shards[:_FIRST_IMAGES])
        yield from at(self.in_root)
        # By index: a slice of a long array would be a copy of it.
        others = (self.in_shards[index] for index in range(_FIRST_IMAGES, len(self.in_shards)))
        yield from at(heapq.merge(self.reports, others))

    def entries_to_hash(self) -> Iterator[Entry]:
        """The files that are there and unverified."""
        return self.manifest.entries_at(self.to_hash)

    def entries_to_reuse(self) -> Iterator[tuple[Entry, str]]:
        """The files that an older version holds, each with its path there."""
        for offset in self.reusable:
            entry = self.manifest.entry_at(offset)
            yield entry, self.moved.get(offset, entry.path)


def make_plan(
    manifest: ManifestFile,
    is_wanted: Callable[[str], bool],
    records: Mapping[str, Iterator[FileRecord]],
    tree: Tree,
    kind_of: Callable[[str], Kind],
) -> Plan:
    """Decide for every wanted entry of the partitions in ``records``.

    Raises DiskError where nothing could be put in place in the end.
    """
    sorting = _Sorting(kind_of)
    obstacles = _Obstacles(manifest, tree)
    for surveyed in survey(manifest, is_wanted, records, tree):
        there = None if isinstance(surveyed.found, OSError) else surveyed.found
        status = file_status(surveyed.entry, surveyed.record, there)
        obstacle = obstacles.to_file(surveyed.entry.path, surveyed.found, status)
        sorting.add(surveyed, status, obstacle)
    for partition in sorted({partition for partition, _kind in sorting.inventory.missing}):
        tree.check_mount(partition)
    return sorting.plan(manifest)


class _Sorting:
    """The lists of a plan while they grow, one file after the other."""

    def __init__(self, kind_of: Callable[[str], Kind]) -> None:
        self.inventory = Inventory(kind_of)
        self._kind_of = kind_of
        self._selected = 0
        self._present = 0
        self._present_bytes = 0
        self._in_shards, self._reports, self._in_root = array("Q"), array("Q"), array("Q")
        self._to_hash = array("Q")
        self._blocked: list[tuple[int, str]] = []
        self._due = array("q")

    def add(self, surveyed: Surveyed, status: FileStatus, obstacle: str | None) -> None:
        """Put one selected file where it belongs."""
        offset, entry, record, found = surveyed
        self._selected += 1
        if obstacle is not None:
            self._blocked.append((offset, obstacle))
        elif status is FileStatus.PRESENT:
            assert isinstance(found, FileStat)
            self._present += 1
            self._present_bytes += found.size
            self.inventory.add_present(entry.path, found.size)
            return
        elif status is FileStatus.HASH:
            assert isinstance(found, FileStat)
            self._to_hash.append(offset)
            self.inventory.add_unproved(entry.path, found.size)
        else:
            is_known = record is not None and record.sha256 == entry.sha256
            kind = self._kind_of(entry.path)
            self.inventory.add_missing(
                entry.path, kind, record.size if is_known and record else None
            )
            self._list_of(entry.path, kind).append(offset)
        self._due.append(hash(entry.path))

    def _list_of(self, path: str, kind: Kind) -> array[int]:
        if partition_of(path) == ROOT:
            return self._in_root
        return self._reports if kind is Kind.REPORTS else self._in_shards

    def plan(self, manifest: ManifestFile) -> Plan:
        """The plan, once the manifest has been read to its end."""
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
        )


class _Obstacles:
    """Why files of one tree cannot be judged, or cannot be put where they belong."""

    def __init__(self, manifest: ManifestFile, tree: Tree) -> None:
        self._tree = tree
        self._inspector = FolderInspector(tree.root)
        self._falling = find_name_clashes(manifest.paths, tree.names) if any(tree.names) else {}

    def to_file(
        self, path: str, found: FileStat | OSError | None, status: FileStatus
    ) -> str | None:
        """Why the file cannot be judged or put in place; None where nothing is in the way.

        Raises DiskError where the whole disk is at fault.
        """
        reason = self._to_reading(path, found)
        if reason is not None or status is FileStatus.PRESENT:
            return reason
        return self._to_placing(path, status)

    def _to_reading(self, path: str, found: FileStat | OSError | None) -> str | None:
        """Why the file under a final name cannot be judged. Raises DiskError where that is the
        whole disk's fault."""
        if other := self._falling.get(path):
            return f"this disk takes its name for that of {other}: the two cannot lie side by side"
        if not isinstance(found, OSError):
            return None
        if error := reading_error(found, f"cannot look at {path}"):
            raise error
        reason = reason_of(found)
        return reason if isinstance(found, IsADirectoryError) else f"cannot look at it: {reason}"

    def _to_placing(self, path: str, status: FileStatus) -> str | None:
        """Why no file can be put there. Raises DiskError where that is another mount."""
        way = self._inspector.inspect(path)
        if way.obstacle or status is FileStatus.HASH:
            return way.obstacle or None
        if way.mount:
            raise other_mount_error(self._tree.final(way.mount), str(self._tree.own))
        return f"nothing may be written in {way.unwritable}" if way.unwritable else None
