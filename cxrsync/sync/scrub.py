"""Hash files of one partition again, under its lock: record new proofs, discard rotten files."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from time import monotonic

from cxrsync.events import Checked, EventSink, Finding, Notice, Totals
from cxrsync.model import Entry, FileRecord, FileStat
from cxrsync.sanitize import reason_of
from cxrsync.sorted_merge import left_join
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.filesystem import reading_error
from cxrsync.storage.low_priority import lower_thread_priority
from cxrsync.storage.parallel_hash import map_on_all_cores
from cxrsync.storage.trash import Trash
from cxrsync.storage.tree import Tree
from cxrsync.sync.partitions import Partitions
from cxrsync.threads import run_in_thread

# New proofs are committed when there are so many, or after so many seconds.
_BATCH = 256
_BATCH_SECONDS = 10.0
_PATH = attrgetter("path")


@dataclass(frozen=True, slots=True)
class DueFile:
    """A file to hash. ``number``: the caller's."""

    number: int
    entry: Entry


@dataclass(slots=True)
class ScrubResult:
    """What was found. ``good``: files whose proof is new; ``bad``, ``unreadable``: paths of files
    whose bytes are wrong, or could not be read. ``missing``: paths of files that are gone.
    ``rotten``: the files that only another copy can replace, bad or lost to the disk."""

    good: Totals = field(default_factory=Totals)
    bad: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    rotten: list[Entry] = field(default_factory=list)


class Scrubber:
    """Hash due files, partition by partition.

    ``now``: returns the POSIX time. ``proven`` is called with the number of each file that was
    found good, and with the time.
    """

    def __init__(
        self,
        tree: Tree,
        emit: EventSink,
        now: Callable[[], float],
        proven: Callable[[int, float], None],
    ) -> None:
        self.result = ScrubResult()
        self._tree = tree
        self._emit = emit
        self._now = now
        self._proven = proven
        self._records: list[FileRecord] = []
        self._committed_at = monotonic()

    async def scrub(self, partitions: Partitions, due: Iterable[DueFile]) -> None:
        """Hash files of the one partition that is locked. ``due`` is sorted by path.

        A file that another run has fetched anew meanwhile, or has found wrong, is left out. New
        proofs are recorded even if an error or a cancellation ends the work.

        Raises: DiskError, LockLost.
        """
        for path in partitions.set_aside:
            self._emit(
                Notice(
                    f"the state in {path.parent} was damaged: it is kept as {path.name}; the next "
                    "pull rebuilds it"
                )
            )
        known = await partitions.plan(lambda records: list(_still_due(due, records)))

        async def judge(item: tuple[DueFile, FileRecord], found: _Hashed | OSError) -> None:
            self._judge(item, found)
            since = monotonic() - self._committed_at
            if len(self._records) >= _BATCH or since >= _BATCH_SECONDS:
                await self._commit(partitions)

        try:
            await map_on_all_cores(
                iter(known), self._hash, judge, begin_thread=lower_thread_priority
            )
        finally:
            await self._commit(partitions)

    async def _commit(self, partitions: Partitions) -> None:
        records, self._records = self._records, []
        self._committed_at = monotonic()
        if records:
            await partitions.record(records)

    def _hash(self, item: tuple[DueFile, FileRecord]) -> _Hashed:
        """Hash a file. Raises: OSError."""
        path = item[0].entry.path
        self._tree.check_parent(path)
        before = self._tree.examine(path)
        digest = sha256_file(self._tree.final(path))
        return _Hashed(digest, before if before == self._tree.examine(path) else None)

    def _judge(self, item: tuple[DueFile, FileRecord], found: _Hashed | OSError) -> None:
        due, record = item
        path, result = due.entry.path, self.result
        no_file = isinstance(found, FileNotFoundError | NotADirectoryError | IsADirectoryError)
        if no_file and os.path.isdir(self._tree.root):
            result.missing.append(path)
            self._emit(Checked(path, Finding.MISSING))
        elif isinstance(found, OSError):
            if error := reading_error(found, f"cannot read {path}"):
                raise error
            result.unreadable.append(path)
            result.rotten += [due.entry] if found.errno == errno.EIO else []
            self._emit(Checked(path, Finding.UNREADABLE, record.size, reason_of(found)))
        elif found.digest != due.entry.sha256:
            result.bad.append(path)
            result.rotten.append(due.entry)
            self._emit(Checked(path, Finding.BAD, record.size))
        elif found.stat is not None:  # else it was written to meanwhile: it stays due
            now = self._now()
            size, mtime_ns = found.stat
            self._records.append(record._replace(size=size, mtime_ns=mtime_ns, verified_at=now))
            self._proven(due.number, now)
            result.good = Totals(result.good.files + 1, result.good.bytes + size)
            self._emit(Checked(path, Finding.GOOD, size))


@dataclass(frozen=True, slots=True)
class _Hashed:
    """``stat``: of the file that was hashed; None if it changed meanwhile."""

    digest: str
    stat: FileStat | None


def _still_due(
    due: Iterable[DueFile], records: dict[str, Iterator[FileRecord]]
) -> Iterator[tuple[DueFile, FileRecord]]:
    """Yield the due files that the state still records as verified."""
    [recorded] = records.values()
    for each, record in left_join(due, recorded, lambda item: item.entry.path, _PATH):
        if record is not None and record.sha256 == each.entry.sha256:
            yield each, record


async def discard_rotten(
    partitions: Partitions, tree: Tree, trash: Trash, rotten: Iterable[Entry]
) -> int:
    """Move those of the files to the trash that are still rotten; return how many were moved.

    Their partition is locked. A file that another run has replaced meanwhile stays. The record goes
    first: a run that is killed in between leaves a file without a proof; the next pull hashes it.

    Raises: LockLost, DiskError, OSError.
    """
    moved = 0
    for entry in rotten:
        if not await run_in_thread(partial(_is_rotten, tree, entry)):
            continue
        await partitions.delete_records([entry.path])
        try:
            await run_in_thread(partial(trash.move, entry.path))
        except FileNotFoundError:
            continue
        moved += 1
    return moved


def _is_rotten(tree: Tree, entry: Entry) -> bool:
    """Return whether the bytes of a file are wrong, or lost to the disk."""
    try:
        tree.check_parent(entry.path)
        return sha256_file(tree.final(entry.path)) != entry.sha256
    except OSError as problem:
        return problem.errno == errno.EIO
