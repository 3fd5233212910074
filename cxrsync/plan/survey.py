"""Survey the selected files: merge manifest, state and disk, and decide the status of each file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from operator import attrgetter
from typing import NamedTuple

from cxrsync.manifest.file import ManifestFile
from cxrsync.model import Entry, FileRecord, FileStat, partition_of
from cxrsync.sorted_merge import merged
from cxrsync.storage.tree import Tree

# Copies and file systems round times: exFAT to 2 s.
MTIME_TOLERANCE_NS = 2_000_000_000
_PATH = attrgetter("path")


class FileStatus(Enum):
    """What has to be done with a selected file."""

    PRESENT = "present"
    HASH = "hash"
    FETCH = "fetch"
    DERIVED = "derived"


def file_status(entry: Entry, record: FileRecord | None, found: FileStat | None) -> FileStatus:
    """Return the status of a file by its entry, its record in the state and the file on the disk.

    A record counts only if the file has the record's size and time. A file without such a record is
    hashed, and not fetched for that reason alone. A file whose record has another digest than the
    manifest is fetched. A file whose record names a smaller copy was replaced by that, and is not
    missing (:func:`survey` takes care that the copy is there).
    """
    if found is None:
        is_replaced = record is not None and record.sha256 == entry.sha256 and record.copy
        return FileStatus.DERIVED if is_replaced else FileStatus.FETCH
    if record is None or not matches_record(record, found):
        return FileStatus.HASH
    return FileStatus.PRESENT if record.sha256 == entry.sha256 else FileStatus.FETCH


def matches_record(record: FileRecord, found: FileStat) -> bool:
    """Return whether the file on the disk has the size and time of the record."""
    return record.size == found.size and abs(record.mtime_ns - found.mtime_ns) <= MTIME_TOLERANCE_NS


class Surveyed(NamedTuple):
    """One selected file.

    ``offset``: of its line in the manifest. ``record``: its record in the state. ``found``: the
    file on the disk, or the error of looking at it. None: there is none.
    """

    offset: int
    entry: Entry
    record: FileRecord | None
    found: FileStat | OSError | None

    @property
    def status(self) -> FileStatus:
        """What has to be done with the file."""
        found = None if isinstance(self.found, OSError) else self.found
        return file_status(self.entry, self.record, found)


def survey(
    manifest: ManifestFile,
    is_wanted: Callable[[str], bool],
    records: Mapping[str, Iterator[FileRecord]],
    tree: Tree,
    has_copy: Callable[[FileRecord], bool] = lambda _record: False,
) -> Iterator[Surveyed]:
    """Yield every selected entry with its record and its file, in the order of the manifest.

    ``records``: the records of each partition, in the order of their paths. Entries of other
    partitions are skipped. ``has_copy``: whether the smaller copy is there that a record names; if
    it is not, the record is yielded without it.
    """
    recorded = merged(records.values(), _PATH)
    record = next(recorded, None)
    missing_folder: str | None = None
    examine = tree.examine
    for offset, entry in manifest.entries():
        path = entry.path
        if not is_wanted(path) or partition_of(path) not in records:
            continue
        while record is not None and record.path < path:
            record = next(recorded, None)
        found: FileStat | OSError | None = None
        if missing_folder is None or path.rpartition("/")[0] != missing_folder:
            missing_folder = None
            try:
                found = examine(path)
            except OSError as problem:
                found = problem
            if found is None and not tree.has_folder(folder := path.rpartition("/")[0]):
                missing_folder = folder  # its files follow each other: look for it once
        known = record if record is not None and record.path == path else None
        if known is not None and known.copy is not None and not has_copy(known):
            known = known._replace(copy=None)
        yield Surveyed(offset, entry, known, found)
