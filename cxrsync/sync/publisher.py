"""Publish verified files in batches: give them their final names, then commit their records."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from cxrsync.errors import DiskError
from cxrsync.model import Entry, FileRecord, FileStat, Outcome, Result
from cxrsync.sanitize import reason_of
from cxrsync.storage.filesystem import disk_error, disk_failure
from cxrsync.storage.publish import VerifiedFile, publish
from cxrsync.storage.trash import Trash
from cxrsync.storage.tree import Tree
from cxrsync.sync.derive import Deriver, Original
from cxrsync.sync.outcome_log import OutcomeLog
from cxrsync.sync.partitions import Partitions
from cxrsync.threads import run_in_thread

BATCH_FILES = 64
BATCH_SECONDS = 2.0
# The first batch is published sooner, because a user may wait to see a file.
FIRST_BATCH_SECONDS = 0.25
# A file system merges concurrent fsyncs: four of them cost little more than one.
_SYNC_THREADS = 4


@dataclass(frozen=True, slots=True)
class PublishItem:
    """A file whose digest is right. ``resumed``: the number of its bytes from before this run."""

    verified: VerifiedFile
    resumed: int = 0
    copied: bool = False

    @property
    def entry(self) -> Entry:
        """The entry of the file."""
        return self.verified.entry


@dataclass(frozen=True, slots=True)
class Adopted:
    """A file that was there under its final name and has the right digest. ``open_to_others``:
    other users can read it, and this run may not change its mode."""

    entry: Entry
    found: FileStat
    open_to_others: bool = False


@dataclass(frozen=True, slots=True)
class _Flush:
    """The signal to publish the batch now, because no transfer is running that could add to it."""


Item = PublishItem | Adopted


class Publisher:
    """The one task that gives files their final names. Call :meth:`submit` with each verified file,
    and :meth:`close` after the last.

    ``outcomes``: gets the outcome of a file after its record is committed. ``fsync``: force data
    and folders to the disk before the record is committed.
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
        self._deriver: Deriver | None = None
        # Bounded, because each waiting item holds a file open.
        self._items: asyncio.Queue[Item | _Flush | None] = asyncio.Queue(2 * batch_files)
        self._ended = False
        self._batch_timeout = FIRST_BATCH_SECONDS

    def pass_images_to(self, deriver: Deriver) -> None:
        """Let ``deriver`` have the images of which a copy is made, once they are recorded."""
        self._deriver = deriver

    async def submit(self, item: Item) -> None:
        """Queue a verified file; wait while the queue is full because the disk is slow.

        From now on the publisher closes the item's file, also if the caller is cancelled meanwhile
        or the publisher has ended.
        """
        try:
            await self._items.put(item)
        except asyncio.CancelledError:
            _close_partials([item])
            raise
        if self._ended:
            self._close_queued()

    def flush(self) -> None:
        """Publish the files queued so far, without waiting for a full batch."""
        if not self._items.full():
            self._items.put_nowait(_Flush())

    async def close(self) -> None:
        """Let :meth:`run` end after everything is published: no more files will come."""
        if not self._ended:
            await self._items.put(None)

    async def run(self) -> None:
        """Publish batches until closed. Raises: DiskError, LockLost."""
        try:
            with ThreadPoolExecutor(_SYNC_THREADS, thread_name_prefix="sync") as pool:
                more = True
                while more:
                    batch, more = await self._gather()
                    if batch:
                        await self._publish(batch, pool)
        finally:
            # Empty the queue: a task that waits in submit() must not wait for ever.
            self._ended = True
            self._close_queued()

    def _close_queued(self) -> None:
        while not self._items.empty():
            _close_partials([self._items.get_nowait()])

    async def _gather(self) -> tuple[list[Item], bool]:
        """Return the next batch, and whether there may be more."""
        batch: list[Item] = []
        try:
            return batch, await self._fill(batch)
        except asyncio.CancelledError:
            _close_partials(batch)
            raise

    async def _fill(self, batch: list[Item]) -> bool:
        """Add items to a batch until it is full or due. Return False after the last item."""
        deadline = None
        while len(batch) < self._batch_files:
            try:
                async with asyncio.timeout_at(deadline):
                    item = await self._items.get()
            except TimeoutError:
                break
            if item is None:
                return False
            if isinstance(item, _Flush):
                if batch:
                    break
                continue
            batch.append(item)
            if deadline is None:
                deadline = asyncio.get_running_loop().time() + self._batch_timeout
                self._batch_timeout = BATCH_SECONDS
        return True

    async def _publish(self, batch: list[Item], pool: ThreadPoolExecutor) -> None:
        fetched = [item for item in batch if isinstance(item, PublishItem)]

        def name() -> list[FileStat | OSError]:
            self._partitions.check()
            verified = [item.verified for item in fetched]
            results = publish(
                self._tree, verified, self._trash.link_or_move, fsync=self._fsync, pool=pool
            )
            if any(isinstance(result, OSError) for result in results):
                # If another run has taken a lock over, that is the cause, and not the files.
                self._partitions.check()
            return results

        try:
            results = dict(zip(map(id, fetched), await run_in_thread(name), strict=True))
        except OSError as problem:
            raise disk_failure(problem, "cannot publish files") from None
        finally:
            _close_partials(batch)
        now = self._partitions.clock()
        records: list[FileRecord] = []
        outcomes: list[tuple[Entry, Outcome]] = []
        disk_problem: DiskError | None = None
        for item in batch:
            try:
                record, outcome = _result_of(item, results.get(id(item)), now)
            except DiskError as error:
                disk_problem = disk_problem or error
                continue
            records += [record] if record is not None else []
            outcomes.append((item.entry, outcome))
        await self._partitions.record(records)
        for entry, outcome in outcomes:
            await self._report(entry, outcome)
        if disk_problem is not None:
            raise disk_problem  # only now, after the published files are recorded

    async def _report(self, entry: Entry, outcome: Outcome) -> None:
        """Report an outcome; that of an image of which a copy is made follows."""
        deriver = self._deriver
        if deriver is None or outcome.result is Result.FAILED or not deriver.wants(entry.path):
            self._outcomes.published(entry, outcome)
            return
        self._outcomes.named(entry, outcome)
        await deriver.submit(Original(entry, outcome.size, outcome))


def _result_of(
    item: Item, published: FileStat | OSError | None, now: float
) -> tuple[FileRecord | None, Outcome]:
    """Return the record and the outcome of one file. ``published``: the result of publishing it.

    Raises: DiskError for an error of the whole disk.
    """
    entry = item.entry
    if isinstance(item, Adopted):
        outcome = Outcome(
            entry.path, Result.ADOPTED, item.found.size, open_to_others=item.open_to_others
        )
        return _record(entry, item.found, "", "", now), outcome
    assert published is not None
    if isinstance(published, OSError):
        if error := disk_error(published, f"cannot publish {entry.path}"):
            raise error
        return None, Outcome(entry.path, Result.FAILED, reason=reason_of(published))
    binding = item.verified.partial.object_version
    source = binding.source if binding else ""
    validator = (binding.validator if binding else None) or ""
    result = Result.COPIED if item.copied else Result.FETCHED
    came_from = "" if item.copied else source
    outcome = Outcome(entry.path, result, published.size, item.resumed, source=came_from)
    return _record(entry, published, source, validator, now), outcome


def _close_partials(items: Iterable[Item | _Flush | None]) -> None:
    """Close the files that the items hold open, published or not."""
    for item in items:
        if isinstance(item, PublishItem):
            with suppress(OSError):  # fsync has reported any error of the data already
                item.verified.partial.close()


def _record(entry: Entry, found: FileStat, source: str, validator: str, now: float) -> FileRecord:
    return FileRecord(entry.path, entry.sha256, found.size, found.mtime_ns, source, validator, now)
