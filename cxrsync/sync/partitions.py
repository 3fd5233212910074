"""The partitions that a run has locked: their locks, and their states with the thread for them."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic, time
from typing import TypeVar

from cxrsync.clock import Clock
from cxrsync.config.selection import Selection
from cxrsync.dataset.locking import LockedFolder, call_in_loop
from cxrsync.errors import DiskError, LockLost
from cxrsync.events import EventSink
from cxrsync.model import ROOT, CopyRecord, DigestMismatch, Entry, FileRecord, Outcome, partition_of
from cxrsync.storage.lock import Lock
from cxrsync.storage.partial import Partial
from cxrsync.storage.partial_readers import unclaimed_names
from cxrsync.storage.publish import copy_partial_name
from cxrsync.storage.state_db import State
from cxrsync.storage.tree import Tree
from cxrsync.threads import run_in_thread

T = TypeVar("T")

# The age that the snapshot of a state may reach during a run, and the largest part of the run's
# time that publishing snapshots may take.
SNAPSHOT_SECONDS = 30.0
_MAX_SNAPSHOT_SHARE = 1 / 20
POLL_SECONDS = 1.0


def is_due(since: float, took: float) -> bool:
    """Return whether another snapshot is due, ``since`` seconds after the last one, which ``took``
    so many seconds."""
    return since >= max(SNAPSHOT_SECONDS, took / _MAX_SNAPSHOT_SHARE)


@dataclass(slots=True)
class _Commit:
    records: list[FileRecord] = field(default_factory=list)
    mismatches: list[DigestMismatch] = field(default_factory=list)
    failures: list[Outcome] = field(default_factory=list)


class Partitions:
    """Locks and states of some partitions of one tree, acquired and released together.

    ``stamp``: is part of the name of a damaged state that is set aside. ``clock``: tells when a
    failure or a selection was recorded.
    """

    def __init__(self, tree: Tree, names: Iterable[str], stamp: str, clock: Clock = time) -> None:
        self.names = sorted(names)  # all runs lock in this order: two never wait for each other
        self.set_aside: list[Path] = []
        self._tree = tree
        self._stamp = stamp
        self.clock = clock
        self._held: dict[str, LockedFolder] = {}
        # Guards ``_held``: without it, a check could take a lock that is being released for lost.
        self._checking = threading.Lock()
        self._states: dict[str, State] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")

    async def open(self, timeout: float, emit: EventSink, lost: Callable[[LockLost], None]) -> None:
        """Lock every partition, take over the partials of other runs, and open the states.

        ``timeout``: the seconds to wait for all locks together. ``lost``: is called at once if
        another run takes a lock over. A damaged state is set aside (``set_aside``) and rebuilt.

        Raises: Locked, LockLost, DiskError.
        """
        on_loss = call_in_loop(lost)
        try:
            folders = [self._locked_folder(name, on_loss) for name in self.names]
            until = monotonic() + timeout
            for number, folder in enumerate(folders):
                await folder.acquire(max(0.0, until - monotonic()), emit, folders[number + 1 :])
                self._held[self.names[number]] = folder
            await self._in_state_thread(self._open)
        except BaseException:
            await self.close()
            raise

    async def publish_snapshots(self) -> None:
        """Publish snapshots of changed states every half minute, until cancelled.

        The first snapshot of a state is published at once.

        Raises: LockLost.
        """
        last, took = monotonic(), 0.0
        while True:
            began = monotonic()
            due = is_due(began - last, took)
            await self._in_state_thread(partial(self._publish, only_new=not due))
            if due:
                last = monotonic()
                took = last - began
            await asyncio.sleep(POLL_SECONDS)

    async def close(self) -> None:
        """Close the states and release all locks. Raises: CxrsyncError, but only afterwards."""
        try:
            async with AsyncExitStack() as stack:  # an error of one must not keep the others locked
                for name in self._held:
                    stack.push_async_callback(self.release, name)
        finally:
            self._thread.shutdown()

    async def release(self, name: str) -> None:
        """Close and release one partition before the others."""

        def close_state() -> None:
            state = self._states.pop(name, None)
            if state is not None:
                state.close()

        def remove() -> None:
            with self._checking:
                del self._held[name]

        folder = self._held[name]
        try:
            await self._in_state_thread(close_state)
        finally:
            try:
                await run_in_thread(remove)
            finally:  # also if cancelled meanwhile: nobody else knows of the lock any more
                await folder.release()

    def check(self, names: Iterable[str] | None = None) -> None:
        """Check that this run still holds the locks of these partitions (None: of all).

        Raises: LockLost, DiskError.
        """
        with self._checking:
            for name in list(self._held if names is None else names):
                self._held[name].lock.check()

    def partial(self, entry: Entry) -> Partial:
        """Return the partial of a file, in a locked partition."""
        locked = self._held[partition_of(entry.path)]
        return Partial(locked.folder, entry.sha256, lease=locked.lock)

    def copy(self, entry: Entry) -> Partial:
        """Return the partial of a file that begins as a copy of another file. Such a partial is
        never resumed by a later run."""
        locked = self._held[partition_of(entry.path)]
        return Partial(locked.folder, copy_partial_name(entry), lease=locked.lock)

    async def plan(self, make: Callable[[dict[str, Iterator[FileRecord]]], T]) -> T:
        """Call ``make`` in the states' thread, with each partition's records in path order."""
        return await self._in_state_thread(
            lambda: make({name: state.records() for name, state in self._states.items()})
        )

    async def record(
        self,
        records: Iterable[FileRecord] = (),
        mismatches: Iterable[DigestMismatch] = (),
        failures: Iterable[Outcome] = (),
    ) -> None:
        """Write records, mismatches and failures, with one commit in each partition concerned."""
        work: dict[str, _Commit] = defaultdict(_Commit)
        for record in records:
            work[partition_of(record.path)].records.append(record)
        for mismatch in mismatches:
            work[partition_of(mismatch.path)].mismatches.append(mismatch)
        for failure in failures:
            work[partition_of(failure.path)].failures.append(failure)
        now = self.clock()

        def write() -> None:
            self.check(work)
            for name, each in work.items():
                self._states[name].record(each.records, each.mismatches, each.failures, at=now)

        await self._in_state_thread(write)

    async def record_selections(self, selections: Iterable[Selection]) -> None:
        """Record in each partition that these selections were pulled."""
        now = self.clock()

        def write() -> None:
            self.check(self._states)
            for state in self._states.values():
                for selection in selections:
                    state.record_selection(selection, at=now)

        await self._in_state_thread(write)

    async def record_rate(self, count: int, seconds: float) -> None:
        """Record the download rate for later estimates: ``count`` bytes in ``seconds``."""
        now = self.clock()

        def write() -> None:
            self.check(self._states)
            for state in self._states.values():
                state.record_rate(count, seconds, at=now)

        if count > 0:
            await self._in_state_thread(write)

    async def delete_records(self, paths: Iterable[str]) -> None:
        """Delete the records of files that were found wrong, in the locked partitions."""
        by_partition: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            by_partition[partition_of(path)].append(path)

        def delete() -> None:
            self.check(name for name in by_partition if name in self._states)
            for name, each in by_partition.items():
                if name in self._states:
                    self._states[name].forget(each)

        await self._in_state_thread(delete)

    async def replace_by_copies(self, copies: Mapping[Entry, CopyRecord]) -> set[str]:
        """Record that copies stand for verified files. Return the paths of those that were recorded
        as verified: only these may be removed."""
        work: dict[str, dict[Entry, CopyRecord]] = defaultdict(dict)
        for entry, copy in copies.items():
            work[partition_of(entry.path)][entry] = copy

        def write() -> set[str]:
            self.check(work)
            states = self._states
            return {path for name in work for path in states[name].replace_by_copies(work[name])}

        return await self._in_state_thread(write)

    async def forget_failures(self, paths: Iterable[str]) -> None:
        """Delete what is recorded of earlier failures of files, where there is any."""
        wanted = set(paths)

        def write() -> None:
            for name in {partition_of(path) for path in wanted}:
                known = {path for path, _reason in self._states[name].failures()}
                if found := known & wanted:
                    self.check([name])
                    self._states[name].forget_failures(found)

        await self._in_state_thread(write)

    async def known_mismatches(self) -> dict[str, DigestMismatch]:
        """Return the mismatches that earlier runs recorded, by path."""
        return await self._in_state_thread(
            lambda: {
                known.path: known for state in self._states.values() for known in state.mismatches()
            }
        )

    def partials(self) -> set[str]:
        """Return the digests of the files that have a partial."""
        return {
            digest for name in self.names for digest in unclaimed_names(self._tree.partials(name))
        }

    # ── inside ─────────────────────────────────────────────────────────────────────────────────

    async def _in_state_thread(self, call: Callable[[], T]) -> T:
        return await run_in_thread(call, self._thread)

    def _locked_folder(self, name: str, on_loss: Callable[[LockLost], None]) -> LockedFolder:
        description = "the tables and the root" if name == ROOT else f"shard {name}"
        lock = Lock(self._tree.partition(name), describe=description, on_loss=on_loss)
        return LockedFolder(lock, self._tree.partials(name))

    def _publish(self, *, only_new: bool) -> None:
        for state in self._states.values():
            if state.unpublished and (state.snapshot_at is None or not only_new):
                # A snapshot may fail: the commits are safe, and if the disk is full, the run itself
                # will fail.
                with suppress(DiskError):
                    state.publish()

    def _open(self) -> None:
        for name in self.names:
            self._states[name], aside = State.open(
                self._tree.partition(name),
                self._stamp,
                token=self._held[name].lock.token,
                check_lock=partial(self.check, (name,)),
                access=self._tree.access,
            )
            with suppress(OSError):  # another user's folder, which they may enter, but not list
                self._tree.share(self._tree.partition(name))
            self.set_aside += aside
