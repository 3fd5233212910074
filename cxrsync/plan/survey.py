"""Where each selected file stands: manifest, state and disk, side by side in one merge."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from operator import attrgetter
from typing import NamedTuple

from cxrsync.manifest.file import ManifestFile
from cxrsync.model import Entry, FileRecord, FileStat, partition_of
from cxrsync.sorted_merge import merge_join
from cxrsync.storage.tree import Tree

# Copies and file systems round times: exFAT to 2 s.
MTIME_TOLERANCE_NS = 2_000_000_000
_PATH = attrgetter("path")


class FileStatus(Enum):
    """Where a file stands."""

    PRESENT = "present"
    HASH = "hash"
    FETCH = "fetch"


def file_status(entry: Entry, row: FileRecord | None, found: FileStat | None) -> FileStatus:
    """Where a file stands, from what the manifest wants, the state claims and the disk holds.

    A row is evidence only beside a file of its size and time. A file without evidence is hashed,
    never fetched for that alone; one that was proved to be something else is fetched anew.
    """
    if found is None:
        return FileStatus.FETCH
    if row is None or not fits(row, found):
        return FileStatus.HASH
    return FileStatus.PRESENT if row.sha256 == entry.sha256 else FileStatus.FETCH


def fits(row: FileRecord, found: FileStat) -> bool:
    """Whether the file on the disk is, by size and time, the one that the row speaks of."""
    return row.size == found.size and abs(row.mtime_ns - found.mtime_ns) <= MTIME_TOLERANCE_NS


class Surveyed(NamedTuple):
    """One selected file: its entry, and the line's offset in the manifest; what the state records;
    what the disk holds, or why that cannot be told."""

    offset: int
    entry: Entry
    record: FileRecord | None
    found: FileStat | OSError | None


def survey(
    manifest: ManifestFile,
    is_wanted: Callable[[str], bool],
    records: Mapping[str, Iterator[FileRecord]],
    tree: Tree,
) -> Iterator[Surveyed]:
    """Every wanted entry beside its record and its file on the disk, in the manifest's order.

    ``records``: the records of each partition, in order of their paths. Entries of other partitions
    are left out.
    """
    wanted = (
        (offset, entry)
        for offset, entry in manifest.entries()
        if is_wanted(entry.path) and partition_of(entry.path) in records
    )
    recorded = heapq.merge(*records.values(), key=_PATH)
    missing_folder = "//"
    for item, record in merge_join(wanted, recorded, lambda item: item[1].path, _PATH):
        if item is None:
            continue
        offset, entry = item
        folder = entry.path.rpartition("/")[0]
        found: FileStat | OSError | None = None
        if folder != missing_folder:
            try:
                found = tree.examine(entry.path)
            except OSError as problem:
                found = problem
            if found is None and not tree.has_folder(folder):
                missing_folder = folder  # its files come one after the other: ask once
        yield Surveyed(offset, entry, record, found)
