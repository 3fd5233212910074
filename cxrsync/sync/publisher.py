"""Verified files get their final names, in batches; their records follow."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from time import time

from cxrsync.errors import DiskError
from cxrsync.model import Entry, FileRecord, FileStat, Outcome, Result
from cxrsync.sanitize import reason_of
from cxrsync.storage.executors import run_in_thread
from cxrsync.storage.filesystem import disk_error
from cxrsync.storage.publish import VerifiedFile, publish
from cxrsync.storage.trash import Trash
from cxrsync.storage.tree import Tree
from cxrsync.sync.outcome_log import OutcomeLog
from cxrsync.sync.partitions import Partitions

BATCH_FILES = 64
BATCH_SECONDS = 2.0
# The first files are there soon: somebody may be waiting to see one.
FIRST_BATCH_SECONDS = 0.25
# Journals merge what is synced at once: four syncs side by side cost little more than one.
_SYNC_THREADS = 4


@dataclass(frozen=True, slots=True)
class PublishItem:
    """A file whose digest was found right. ``resumed``: bytes that were there before this run."""

    ready: VerifiedFile
    resumed: int = 0
    copied: bool = False

    @property
    def entry(self) -> Entry:
        """What the file is."""
        return self.ready.entry


@dataclass(frozen=True, slots=True)
class Adopted:
    """A file that was there under its final name and has the right digest. ``open_to_others``:
    they can read it, and that is not ours to change."""

    entry: Entry
    found: FileStat
    open_to_others: bool = False


@dataclass(frozen=True, slots=True)
class _Flush:
    """Nothing else is under way: what has gathered need not wait for company."""


Item = PublishItem | Adopted


class Publisher:
    """The one task that gives final names. Call :meth:`submit` with what is verified, and
    :meth:`close` after the last.

    ``outcomes`` gets a file's outcome once its record is committed. ``fsync``: whether data and
    folders are forced to the disk first.
    """

    def __init__(
        self,
        tree: Tree,
        partitions: Partitions,
        trash: Trash,
        outcomes: OutcomeLog,
        *,
        fsync: bool,
        batch_files: int = BATCH_FILES,
    ) -> None:
        self._tree = tree
        self._partitions = partitions
        self._trash = trash
        self._outcomes = outcomes
        self._fsync = fsync
        self._batch_files = batch_files
        # Bounded: each item waiting here holds a file open.
        self._items: asyncio.Queue[Item | _Flush | None] = asyncio.Queue(2 * batch_files)
        self._ended = False
        self._patience = FIRST_BATCH_SECONDS

    async def submit(self, item: Item) -> None:
        """Hand a verified file over; waits where the disk is slower than the line."""
        await self._items.put(item)

    def flush(self) -> None:
        """Publish what has gathered, without waiting for more."""
        if not self._items.full():
            self._items.put_nowait(_Flush())

    async def close(self) -> None:
        """No more will come: :meth:`run` ends once everything is published."""
        if not self._ended:
            await self._items.put(None)

    async def run(self) -> None:
        """Publish until closed. Raises DiskError, LockLost."""
        try:
            with ThreadPoolExecutor(_SYNC_THREADS, thread_name_prefix="sync") as pool:
                more = True
                while more:
                    batch, more = await self._gather()
                    if batch:
                        await self._publish(batch, pool)
        finally:
            # Whoever waits to put something must not wait for ever.
            self._ended = True
            while not self._items.empty():
                _let_go([self._items.get_nowait()])

    async def _gather(self) -> tuple[list[Item], bool]:
        batch: list[Item] = []
        deadline = None
        while len(batch) < self._batch_files:
            try:
                async with asyncio.timeout_at(deadline):
                    item = await self._items.get()
            except TimeoutError:
                break
            if item is None:
                return batch, False
            if isinstance(item, _Flush):
                if batch:
                    break
                continue
            batch.append(item)
            if deadline is None:
                deadline = asyncio.get_running_loop().time() + self._patience
                self._patience = BATCH_SECONDS
        return batch, True

    async def _publish(self, batch: list[Item], pool: ThreadPoolExecutor) -> None:
        fetched = [item for item in batch if isinstance(item, PublishItem)]

        def name() -> list[FileStat | OSError]:
            self._partitions.check()
            ready = [item.ready for item in fetched]
            results = publish(
                self._tree, ready, self._trash.link_or_move, fsync=self._fsync, pool=pool
            )
            if any(isinstance(result, OSError) for result in results):
                self._partitions.check()  # else another run has taken the files: no fault of theirs
            return results

        try:
            results = dict(zip(map(id, fetched), await run_in_thread(name), strict=True))
        except OSError as problem:
            raise DiskError(f"cannot put files in place: {reason_of(problem)}") from None
        finally:
            _let_go(batch)
        now = time()
        records: list[FileRecord] = []
        outcomes: list[tuple[Entry, Outcome]] = []
        ended: DiskError | None = None
        for item in batch:
            try:
                record, outcome = _result_of(item, results.get(id(item)), now)
            except DiskError as error:
                ended = ended or error
                continue
            records += [record] if record is not None else []
            outcomes.append((item.entry, outcome))
        await self._partitions.record(records)
        for entry, outcome in outcomes:
            self._outcomes.published(entry, outcome)
        if ended is not None:
            raise ended  # only now: what has its final name is on record first


def _result_of(
    item: Item, published: FileStat | OSError | None, now: float
) -> tuple[FileRecord | None, Outcome]:
    """The record and the outcome of one file, by what became of its final name.

    Raises DiskError where the whole disk is at fault.
    """
    entry = item.entry
    if isinstance(item, Adopted):
        outcome = Outcome(
            entry.path, Result.ADOPTED, item.found.size, open_to_others=item.open_to_others
        )
        return _record(entry, item.found, "", "", now), outcome
    assert published is not None
    if isinstance(published, OSError):
        if error := disk_error(published, f"cannot put {entry.path} in place"):
            raise error
        return None, Outcome(entry.path, Result.FAILED, reason=reason_of(published))
    binding = item.ready.partial.object_version
    source = binding.source if binding else ""
    validator = (binding.validator if binding else None) or ""
    result = Result.COPIED if item.copied else Result.FETCHED
    outcome = Outcome(entry.path, result, published.size, item.resumed)
    return _record(entry, published, source, validator, now), outcome


def _let_go(items: Iterable[Item | _Flush | None]) -> None:
    """Whatever became of them: each held a file open."""
    for item in items:
        if isinstance(item, PublishItem):
            with suppress(OSError):  # what a close has to say of the data, the sync has said
                item.ready.partial.close()


def _record(entry: Entry, found: FileStat, source: str, validator: str, now: float) -> FileRecord:
    return FileRecord(entry.path, entry.sha256, found.size, found.mtime_ns, source, validator, now)
