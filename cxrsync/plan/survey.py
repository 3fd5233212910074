"""Manifest, rows and disk side by side, in one merge: where each file stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum

from cxrsync.manifest.file import ManifestFile
from cxrsync.model import Entry, FileRecord, FileStat, partition_of
from cxrsync.storage.tree import Tree

# Copies and file systems round times: exFAT to 2 s.
MTIME_TOLERANCE_NS = 2_000_000_000


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


def merge_join(
    manifest: ManifestFile,
    is_wanted: Callable[[str], bool],
    rows: Mapping[str, Iterator[FileRecord]],
    tree: Tree,
) -> Iterator[tuple[int, Entry, FileRecord | None, FileStat | OSError | None]]:
    """The merge: every wanted entry with its offset, its row and the file on the disk, or why that
    cannot be told.

    Entries of partitions that ``rows`` does not hold are left out.
    """
    cursors = {name: _Cursor(each) for name, each in rows.items()}
    missing_folder = "//"
    for offset, entry in manifest.entries():
        if not is_wanted(entry.path):
            continue
        cursor = cursors.get(partition_of(entry.path))
        if cursor is None:
            continue
        row = cursor.seek(entry.path)
        folder = entry.path.rpartition("/")[0]
        found: FileStat | OSError | None = None
        if folder != missing_folder:
            try:
                found = tree.examine(entry.path)
            except OSError as problem:
                found = problem
            if found is None and not tree.has_folder(folder):
                missing_folder = folder  # its files come one after the other: ask once
        yield offset, entry, row, found


class _Cursor:
    """Walks the rows of one partition beside the manifest."""

    def __init__(self, rows: Iterator[FileRecord]) -> None:
        self._rows = rows
        self._row = next(rows, None)

    def seek(self, path: str) -> FileRecord | None:
        while self._row is not None and self._row.path < path:
            self._row = next(self._rows, None)
        return self._row if self._row is not None and self._row.path == path else None
