"""Make smaller copies of verified images, and with ``--drop-originals`` remove the originals.

1. A verified image comes from the publisher, or from the plan, and waits until a worker is free:
   who brings more has to wait, so that originals do not heap up.
2. A worker makes the copy and proves it (:mod:`cxrsync.storage.derived_image`).
3. In batches: the copies are recorded in their tree; then the state records which originals they
   replace; then these originals are removed. A run that is killed in between leaves an original
   with its copy; the next run proves the copy again, and removes the original.
4. Only then the image gets its outcome.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic

from cxrsync.model import CopyRecord, Entry, FileStat, Outcome, Result
from cxrsync.plan.copies import DROPPED_BATCH
from cxrsync.storage.derived_image import Derivation, Derived, Task
from cxrsync.storage.filesystem import disk_error, disk_failure
from cxrsync.storage.publish import remove_original
from cxrsync.storage.tree import Tree
from cxrsync.sync.copying import Copying
from cxrsync.sync.outcome_log import OutcomeLog
from cxrsync.sync.partitions import Partitions
from cxrsync.threads import run_in_thread, wait_to_end
from cxrsync.transfer.disk_guard import DiskGuard

_BATCH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Original:
    """A verified image. ``outcome``: what it would be without a copy."""

    entry: Entry
    size: int
    outcome: Outcome


class Deriver:
    """Makes the copies of one sync. Call :meth:`submit` with each verified image, and
    :meth:`close` after the last."""

    def __init__(
        self,
        copying: Copying,
        tree: Tree,
        partitions: Partitions,
        outcomes: OutcomeLog,
        disk: DiskGuard,
    ) -> None:
        self._copying = copying
        self._tree = tree
        self._partitions = partitions
        self._outcomes = outcomes
        self._disk = disk
        self._waiting: asyncio.Queue[Original | None] = asyncio.Queue(copying.pool.workers)
        self._done: list[tuple[Original, Derived]] = []
        self._committing = asyncio.Lock()
        self._committed_at = monotonic()
        self._busy = 0
        self._abandoned = False

    @property
    def drops(self) -> bool:
        """Whether the originals are removed."""
        return self._copying.order.drop

    def wants(self, path: str) -> bool:
        """Return whether a copy is made of this file."""
        return self._copying.is_image(path)

    async def submit(self, original: Original) -> None:
        """Queue an image; wait while all workers are busy. Once the sync is abandoned, images are
        left to the next run."""
        if not self._abandoned:
            await self._waiting.put(original)

    async def submit_all(self, entries: Iterator[Entry]) -> None:
        """Queue verified images that have no copy yet."""
        for entry in entries:
            found = await run_in_thread(lambda: self._tree.find(entry.path))  # noqa: B023
            found = found or FileStat(0, 0)  # gone since the plan: the worker says so
            outcome = Outcome(entry.path, Result.DERIVED, found.size)
            await self.submit(Original(entry, found.size, outcome))

    def abandon(self) -> None:
        """Leave what is queued to the next run; what a worker has begun is finished."""
        self._abandoned = True
        while not self._waiting.empty():
            self._waiting.get_nowait()

    async def close(self) -> None:
        """Let :meth:`run` end after the last image."""
        for _ in range(self._copying.pool.workers):
            await self._waiting.put(None)

    async def run(self) -> None:
        """Make copies until closed. Raises: DiskError, LockLost."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._copying.pool.workers):
                workers.create_task(self._work())
        await self._commit()

    async def _work(self) -> None:
        while (original := await self._waiting.get()) is not None:
            if self._abandoned:
                continue
            self._busy += 1
            try:
                result = await self._derive(original)
            finally:
                self._busy -= 1
            self._done.append((original, result))  # not before: a commit begins a new list
            is_idle = not self._busy and self._waiting.empty()
            is_late = monotonic() - self._committed_at > _BATCH_SECONDS
            if len(self._done) >= DROPPED_BATCH or is_late or is_idle:
                await self._commit()

    async def _derive(self, original: Original) -> Derived:
        (path, sha256), copies = original.entry, self._copying.tree
        known = await run_in_thread(lambda: copies.copy_of(path, sha256), self._copying.thread)
        task = Task(
            path,
            sha256,
            self._tree.final(path),
            f"{copies.root}/{path}",
            str(copies.unfinished),
            self._copying.pixels,
            copies.draft,
            known,
        )
        self._disk.reserve(task, original.size)  # a copy is smaller, but nobody knows by how much
        try:
            await self._disk.check()
            done = await wait_to_end(asyncio.wrap_future(self._copying.pool.submit(task)))
            self._disk.record_write(task, done.size)
            return done
        finally:
            self._disk.reserve(task, 0)

    # ── the results ────────────────────────────────────────────────────────────────────────────

    async def _commit(self) -> None:
        """Record what is done, remove the originals, and report the outcomes."""
        async with self._committing:
            done, self._done = self._done, []
            self._committed_at = monotonic()
            made = [each for each in done if each[1].result is Derivation.DERIVED]
            failed = [each for each in done if each[1].result is not Derivation.DERIVED]
            if made:
                await self._record(made)
            for original, result in failed:
                await self._fail(original, result)

    async def _record(self, made: list[tuple[Original, Derived]]) -> None:
        copying, partitions = self._copying, self._partitions

        def record() -> None:
            copying.lock.check()
            copying.tree.record(copy for _original, copy in made)

        try:
            await run_in_thread(record, copying.thread)
        except (OSError, sqlite3.Error) as problem:
            raise disk_failure(
                problem, f"cannot record the copies in {copying.tree.root}"
            ) from None
        if self.drops:
            replaced = await partitions.replace_by_copies(
                {
                    original.entry: CopyRecord(copying.pixels, copy.sha256, copy.size)
                    for original, copy in made
                }
            )
            going = [each for each, _copy in made if each.entry.path in replaced]
            await run_in_thread(lambda: self._remove(going))
        else:
            await partitions.forget_failures(original.entry.path for original, _copy in made)
        for original, copy in made:
            outcome = replace(original.outcome, result=Result.DERIVED, copy_size=copy.size)
            self._outcomes.settle(outcome)

    def _remove(self, originals: list[Original]) -> None:
        """Remove originals whose copies are recorded. One that cannot be removed stays: it is
        verified, and only takes space. Raises LockLost, DiskError."""
        self._partitions.check()
        for each in originals:
            with suppress(OSError):
                remove_original(self._tree, each.entry.path, each.size)

    async def _fail(self, original: Original, result: Derived) -> None:
        path, reason = original.entry.path, result.result.value
        if result.result is Derivation.NOT_WRITTEN:
            problem = OSError(result.error, os.strerror(result.error))
            what = f"cannot write to {self._copying.tree.root}"
            raise disk_error(problem, what) or disk_failure(problem, what)
        if result.result is Derivation.WRONG:  # it rotted since it was verified
            await self._partitions.delete_records([path])
        self._outcomes.failed(
            Outcome(
                path,
                Result.FAILED,
                resumed=original.outcome.resumed,
                reason=f"no copy was made: {reason}. The original stays",
            )
        )
