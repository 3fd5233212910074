"""What is to do: decisions from what the manifest wants, the state claims and the disk holds."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from cxrsync.manifest.clashes import falling_together
from cxrsync.manifest.file import ManifestFile
from cxrsync.model import ROOT, Entry, FileRecord, FileStat, Kind, RejectedLine, partition_of
from cxrsync.plan.estimate import Inventory
from cxrsync.plan.survey import FileStatus, file_status, merge_join
from cxrsync.sanitize import reason_of
from cxrsync.storage.filesystem import Ways, another_mount, reading_error
from cxrsync.storage.tree import Tree

# A person who pulls images sees the first of them before the tables of the root come along.
_FIRST_IMAGES = 16


@dataclass(slots=True)
class Plan:
    """What is to do, as offsets into the manifest, and what is there already.

    ``due``: a hash of the path of each selected file that is not present.

    Reports stand apart: one archive may bring them all. ``to_take``: files that an older version
    holds too, under the same path; ``elsewhere`` has the path there of those that moved;
    ``taking_takes_room``: whether they come as copies. ``blocked``: files that cannot be put where
    they belong, and why: neither fetched nor hashed.
    """

    manifest: ManifestFile
    inventory: Inventory
    selected: int = 0
    present: int = 0
    present_bytes: int = 0
    in_shards: array[int] = field(default_factory=lambda: array("Q"))
    reports: array[int] = field(default_factory=lambda: array("Q"))
    in_root: array[int] = field(default_factory=lambda: array("Q"))
    to_take: array[int] = field(default_factory=lambda: array("Q"))
    elsewhere: dict[int, str] = field(default_factory=dict)
    taking_takes_room: bool = True
    to_hash: array[int] = field(default_factory=lambda: array("Q"))
    blocked: list[tuple[int, str]] = field(default_factory=list)
    refused: list[RejectedLine] = field(default_factory=list)
    due: array[int] = field(default_factory=lambda: array("q"))

    def offsets_of(self, path: str, kind: Kind) -> array[int]:
        """Where the offset of a file that has to be fetched is kept."""
        if partition_of(path) == ROOT:
            return self.in_root
        return self.reports if kind is Kind.REPORTS else self.in_shards

    @property
    def to_fetch(self) -> int:
        """How many files are to be brought, wherever from."""
        return len(self.in_shards) + len(self.reports) + len(self.in_root) + len(self.to_take)

    @property
    def in_root_partition(self) -> int:
        """How many files of the root are to be brought or hashed, or cannot be."""
        rare = (*self.to_take, *(offset for offset, _reason in self.blocked))
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
        """What is there without proof."""
        return self.manifest.entries_at(self.to_hash)


def make_plan(
    manifest: ManifestFile,
    is_wanted: Callable[[str], bool],
    rows: Mapping[str, Iterator[FileRecord]],
    tree: Tree,
    kind_of: Callable[[str], Kind],
) -> Plan:
    """Decide for every wanted entry of the partitions in ``rows``.

    Raises DiskError where nothing could be put in place in the end.
    """
    inventory = Inventory(kind_of)
    plan = Plan(manifest, inventory)
    obstacles = _Obstacles(manifest, tree)
    for offset, entry, row, found in merge_join(manifest, is_wanted, rows, tree):
        plan.selected += 1
        there = None if isinstance(found, OSError) else found
        decision = file_status(entry, row, there)
        reason = obstacles.in_reading(entry.path, found)
        if reason is None and decision is not FileStatus.PRESENT:
            reason = obstacles.in_placing(entry.path, decision)
        if reason is not None:
            plan.blocked.append((offset, reason))
        elif decision is FileStatus.PRESENT:
            assert there is not None
            plan.present += 1
            plan.present_bytes += there.size
            inventory.add_present(entry.path, there.size)
            continue
        elif decision is FileStatus.HASH:
            assert there is not None
            plan.to_hash.append(offset)
            inventory.add_unproved(entry.path, there.size)
        else:
            known = row is not None and row.sha256 == entry.sha256
            kind = kind_of(entry.path)
            inventory.add_missing(entry.path, kind, row.size if known and row else None)
            plan.offsets_of(entry.path, kind).append(offset)
        plan.due.append(hash(entry.path))
    plan.refused = manifest.refused
    for partition in sorted({partition for partition, _kind in inventory.missing}):
        tree.check_mount(partition)
    return plan


class _Obstacles:
    """Why files of one tree cannot be judged, or cannot be put where they belong."""

    def __init__(self, manifest: ManifestFile, tree: Tree) -> None:
        self._tree = tree
        self._ways = Ways(tree.root)
        self._falling = falling_together(manifest.paths, tree.names) if any(tree.names) else {}

    def in_reading(self, path: str, found: FileStat | OSError | None) -> str | None:
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

    def in_placing(self, path: str, decision: FileStatus) -> str | None:
        """Why no file can be put there. Raises DiskError where that is another mount."""
        way = self._ways.to(path)
        if way.obstacle or decision is FileStatus.HASH:
            return way.obstacle or None
        if way.mount:
            raise another_mount(self._tree.final(way.mount), str(self._tree.own))
        return f"nothing may be written in {way.closed}" if way.closed else None
