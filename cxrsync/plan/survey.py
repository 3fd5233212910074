"""Survey the selected files: merge manifest, state and disk, and decide the status of each file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import islice
from operator import itemgetter, sub
from stat import S_ISREG
from typing import NamedTuple

from cxrsync.manifest.file import EntryBatch, ManifestFile
from cxrsync.model import ROOT, Entry, FileRecord, FileStat, partition_of
from cxrsync.storage.filesystem import file_stat
from cxrsync.storage.tree import Tree

# Copies and file systems round times: exFAT to 2 s.
MTIME_TOLERANCE_NS = 2_000_000_000
# Fewer files are surveyed one by one: to look at them together would cost more.
_MIN_BATCH = 16
# Digest and path of a record, as an EntryBatch has them.
_LISTED = itemgetter(FileRecord._fields.index("sha256"), FileRecord._fields.index("path"))
_COPY = itemgetter(FileRecord._fields.index("copy"))


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


class PresentFiles(NamedTuple):
    """Many files of one shard, in the order of the manifest, that are all present.

    ``sizes``: in bytes. ``mtimes``: in ns.
    """

    partition: str
    batch: EntryBatch
    records: Sequence[FileRecord]
    sizes: Sequence[int]
    mtimes: Sequence[int]

    def each(self) -> Iterator[Surveyed]:
        """Yield each file."""
        found = map(FileStat, self.sizes, self.mtimes)
        for (offset, entry), record, stat in zip(
            self.batch.each(), self.records, found, strict=True
        ):
            yield Surveyed(offset, entry, record, stat)


def survey(
    manifest: ManifestFile,
    is_wanted: Callable[[str], bool],
    records: Mapping[str, Iterator[FileRecord]],
    tree: Tree,
    has_copy: Callable[[FileRecord], bool] = lambda _record: False,
) -> Iterator[Surveyed]:
    """Yield every selected entry with its record and its file, in the order of the manifest.

    ``records``: the records of each partition, in the order of their paths; several shards may
    share one stream. Entries of other partitions are skipped. ``has_copy``: whether the smaller
    copy is there that a record names; if it is not, the record is yielded without it.
    """
    for surveyed in survey_in_batches(manifest, is_wanted, records, tree, has_copy):
        if isinstance(surveyed, PresentFiles):
            yield from surveyed.each()
        else:
            yield surveyed


def survey_in_batches(
    manifest: ManifestFile,
    is_wanted: Callable[[str], bool],
    records: Mapping[str, Iterator[FileRecord]],
    tree: Tree,
    has_copy: Callable[[FileRecord], bool] = lambda _record: False,
) -> Iterator[Surveyed | PresentFiles]:
    """Yield what :func:`survey` does, and many files at once where all of them are present: most
    runs find that of nearly all files, and it takes two thirds of the time."""
    readers = {id(each): _RecordReader(each) for each in records.values()}
    recorded = {name: readers[id(each)] for name, each in records.items()}
    files = _FileFinder(tree)
    for batch in manifest.batches():
        partition = _shard_of_all(batch)
        if partition is not None:
            if partition not in recorded:
                continue
            present = _all_present(batch, partition, is_wanted, recorded[partition], files)
            if present is not None:
                yield present
                continue
        for offset, entry in batch.each():
            path = entry.path
            reader = recorded.get(partition_of(path))
            if reader is None or not is_wanted(path):
                continue
            known = reader.record_of(path)
            if known is not None and known.copy is not None and not has_copy(known):
                known = known._replace(copy=None)
            yield Surveyed(offset, entry, known, files.find(path))


def _shard_of_all(batch: EntryBatch) -> str | None:
    """Return the shard of all entries of a batch; None if they are in several, or in the root."""
    if len(batch.entries) < _MIN_BATCH:
        return None
    first, last = (partition_of(batch.entries[at][1]) for at in (0, -1))
    # What sorts between two paths of a shard is in that shard. The root is before and after.
    return first if first == last != ROOT else None


def _all_present(
    batch: EntryBatch,
    partition: str,
    is_wanted: Callable[[str], bool],
    reader: _RecordReader,
    files: _FileFinder,
) -> PresentFiles | None:
    """Return the files of a batch, and read past their records, if all are selected and present, by
    the rule of :func:`file_status`; else None."""
    records = reader.next_records(len(batch.entries), first=batch.entries[0][1])
    if list(map(_LISTED, records)) != batch.entries or any(map(_COPY, records)):
        return None
    paths = [path for _sha256, path in batch.entries]
    if not all(map(is_wanted, paths)):
        return None
    found = files.find_all(paths)
    if len(found) < len(paths) or not all(map(S_ISREG, {each.st_mode for each in found})):
        return None
    sizes = [each.st_size for each in found]
    mtimes = [each.st_mtime_ns for each in found]
    drifts = map(sub, mtimes, [each.mtime_ns for each in records])
    if sizes != [each.size for each in records] or max(map(abs, drifts)) > MTIME_TOLERANCE_NS:
        return None
    reader.skip(len(records))
    return PresentFiles(partition, batch, records, sizes, mtimes)


class _RecordReader:
    """Reads a stream of records, in the order of their paths, and looks ahead."""

    def __init__(self, records: Iterator[FileRecord]) -> None:
        self._records = records
        self._ahead: list[FileRecord] = []
        self._at = 0
        self._ended = False

    def record_of(self, path: str) -> FileRecord | None:
        """Return the record of a path that is after the one of the call before, if there is one."""
        while True:
            if self._at == len(self._ahead):
                if self._ended:
                    return None
                self._read(_MIN_BATCH)
                continue
            record = self._ahead[self._at]
            if record.path >= path:
                return record if record.path == path else None
            self._at += 1

    def next_records(self, count: int, first: str) -> list[FileRecord]:
        """Return so many records from the path ``first`` on, or fewer at the end, without reading
        past them."""
        self.record_of(first)
        missing = count - (len(self._ahead) - self._at)
        if missing > 0:
            self._read(missing)
        return self._ahead[self._at : self._at + count]

    def skip(self, count: int) -> None:
        """Read past so many records that :meth:`next_records` has returned."""
        self._at += count

    def _read(self, count: int) -> None:
        self._ahead = self._ahead[self._at :]
        self._at = 0
        before = len(self._ahead)
        self._ahead += islice(self._records, count)
        self._ended = len(self._ahead) < before + count


class _FileFinder:
    """Finds files on the disk, which are asked for in the order of their paths."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._missing_folder: str | None = None
        self._seen: Iterator[tuple[str, os.stat_result]] = iter(())
        self._next: tuple[str, os.stat_result] | None = None

    def find_all(self, paths: Sequence[str]) -> list[os.stat_result]:
        """Return what the disk says about each path, up to the first one that cannot be found.
        :meth:`find` does not look again."""
        found = self._tree.examine_all(paths)
        self._seen = zip(paths, found, strict=False)
        self._next = next(self._seen, None)
        return found

    def find(self, path: str) -> FileStat | OSError | None:
        """Return the file, or the error of looking at it; None if there is none."""
        while self._next is not None and self._next[0] <= path:
            seen, stat = self._next
            self._next = next(self._seen, None)
            if seen == path and S_ISREG(stat.st_mode):
                return file_stat(stat)
        if self._missing_folder is not None and path.rpartition("/")[0] == self._missing_folder:
            return None
        self._missing_folder = None
        try:
            found = self._tree.examine(path)
        except OSError as problem:
            return problem
        if found is None and not self._tree.has_folder(folder := path.rpartition("/")[0]):
            self._missing_folder = folder  # its files follow each other: look for it once
        return found
