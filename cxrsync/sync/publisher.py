"""Verified files on their way to their final names, in batches; and their rows after them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
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
    """The one task that makes final names. ``put`` what is verified; ``close`` after the last.

    ``done`` is told of each file once its row is committed.
    """

    def __init__(
        self,
        tree: Tree,
        partitions: Partitions,
        trash: Trash,
        done: Callable[[Entry, Outcome], None],
        *,
        fsync: bool,
        batch_files: int = BATCH_FILES,
    ) -> None:
        self._tree = tree
        self._partitions = partitions
        self._trash = trash
        self._done = done
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
            results = publish(self._tree, ready, self._trash.keep, fsync=self._fsync, pool=pool)
            if any(isinstance(result, OSError) for result in results):
                self._partitions.check()  # else another run has taken the files: no fault of theirs
            return results

        try:
            results = dict(zip(map(id, fetched), await run_in_thread(name), strict=True))
        except OSError as problem:
            raise DiskError(f"cannot put files in place: {reason_of(problem)}") from None
        finally:
            _let_go(batch)
        rows: list[FileRecord] = []
        outcomes: list[tuple[Entry, Outcome]] = []
        ended: DiskError | None = None
        now = time()
        for item in batch:
            if isinstance(item, Adopted):
                rows.append(_row(item.entry, item.found, "", "", now))
                outcome = Outcome(
                    item.entry.path,
                    Result.ADOPTED,
                    item.found.size,
                    open_to_others=item.open_to_others,
                )
                outcomes.append((item.entry, outcome))
                continue
            entry, binding = item.ready.entry, item.ready.partial.binding
            found = results[id(item)]
            if isinstance(found, OSError):
                error = disk_error(found, f"cannot put {entry.path} in place")
                if error is not None:
                    ended = ended or error
                    continue
                outcome = Outcome(entry.path, Result.FAILED, reason=reason_of(found))
            else:
                source = binding.source if binding else ""
                validator = (binding.validator if binding else None) or ""
                rows.append(_row(entry, found, source, validator, now))
                result = Result.COPIED if item.copied else Result.FETCHED
                outcome = Outcome(entry.path, result, found.size, item.resumed)
            outcomes.append((entry, outcome))
        await self._partitions.record(rows)
        for entry, outcome in outcomes:
            self._done(entry, outcome)
        if ended is not None:
            raise ended  # only now: what has its final name is on record first


def _let_go(items: Iterable[Item | _Flush | None]) -> None:
    """Whatever became of them: each held a file open."""
    for item in items:
        if isinstance(item, PublishItem):
            with suppress(OSError):  # what a close has to say of the data, the sync has said
                item.ready.partial.close()


def _row(entry: Entry, found: FileStat, source: str, validator: str, now: float) -> FileRecord:
    return FileRecord(entry.path, entry.sha256, found.size, found.mtime_ns, source, validator, now)
