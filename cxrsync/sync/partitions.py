"""The partitions that a run holds: their locks, their states, the one thread that owns these."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic, time
from typing import TypeVar

from cxrsync.config.selection import Selection
from cxrsync.dataset.locking import LockedFolder, call_in_loop
from cxrsync.errors import DiskError, LockLost
from cxrsync.events import EventSink
from cxrsync.model import ROOT, DigestMismatch, Entry, FileRecord, Outcome, partition_of
from cxrsync.storage.executors import run_in_thread
from cxrsync.storage.lock import Lock
from cxrsync.storage.partial import Partial
from cxrsync.storage.partial_readers import unclaimed_names
from cxrsync.storage.publish import copy_partial_name
from cxrsync.storage.state_db import State
from cxrsync.storage.tree import Tree

T = TypeVar("T")

# How old what readers see may be, beside a run; and how much of the run's time it may cost at the
# most to keep it so young.
SNAPSHOT_SECONDS = 30.0
_SNAPSHOT_SHARE = 1 / 20
POLL_SECONDS = 1.0


def is_due(since: float, took: float) -> bool:
    """Whether it is time for another snapshot: ``since`` seconds after the last, which ``took`` so
    many."""
    return since >= max(SNAPSHOT_SECONDS, took / _SNAPSHOT_SHARE)


@dataclass(slots=True)
class _Commit:
    rows: list[FileRecord] = field(default_factory=list)
    contradictions: list[DigestMismatch] = field(default_factory=list)
    failures: list[Outcome] = field(default_factory=list)


class Partitions:
    """Locks and states of some partitions of one tree, taken together and let go together."""

    def __init__(self, tree: Tree, names: Iterable[str], stamp: str) -> None:
        self.names = sorted(names)  # one order for all runs: two can never wait for each other
        self.set_aside: list[Path] = []
        self._tree = tree
        self._stamp = stamp
        self._held: dict[str, LockedFolder] = {}
        # A lock that is being let go must not be found lost.
        self._checking = threading.Lock()
        self._states: dict[str, State] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")

    async def open(self, wait: float, emit: EventSink, lost: Callable[[LockLost], None]) -> None:
        """Lock every partition, waiting up to ``wait`` seconds for all of them; make what other
        runs left there ours; open the states. Raises Locked, LockLost, DiskError.

        ``lost`` is told at once when another run has taken a lock over. A damaged state is set
        aside (``set_aside``) and begun anew.
        """
        on_loss = call_in_loop(lost)
        try:
            places = [self._workplace(name, on_loss) for name in self.names]
            until = monotonic() + wait
            for number, place in enumerate(places):
                await place.acquire(max(0.0, until - monotonic()), emit, places[number + 1 :])
                self._held[self.names[number]] = place
            await self._in_state_thread(self._open)
        except BaseException:
            await self.close()
            raise

    async def publish_snapshots(self) -> None:
        """Let readers see what was committed, every half minute, until cancelled. Raises LockLost.

        A state that no reader has seen yet is published at once.
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
        """Close the states, then let the locks go."""
        try:
            async with AsyncExitStack() as stack:  # all of them, whatever one has to say
                for name in self._held:
                    stack.push_async_callback(self.release, name)
        finally:
            self._thread.shutdown()

    async def release(self, name: str) -> None:
        """Let one partition go before the others."""

        def close_state() -> None:
            state = self._states.pop(name, None)
            if state is not None:
                state.close()

        def forget() -> LockedFolder:
            with self._checking:
                return self._held.pop(name)

        try:
            await self._in_state_thread(close_state)
        finally:
            place = await run_in_thread(forget)
            await place.release()

    def check(self, names: Iterable[str] | None = None) -> None:
        """Prove that the locks of these partitions (None: of all) are still ours. Raises LockLost,
        DiskError."""
        with self._checking:
            for name in list(self._held if names is None else names):
                self._held[name].lock.check()

    def partial(self, entry: Entry) -> Partial:
        """The bytes so far of a file, in a partition that is held."""
        place = self._held[partition_of(entry.path)]
        return Partial(place.folder, entry.sha256, lease=place.lock)

    def copy(self, entry: Entry) -> Partial:
        """The same for a file that begins as a copy of another one. A copy does not outlive the
        run."""
        place = self._held[partition_of(entry.path)]
        return Partial(place.folder, copy_partial_name(entry), lease=place.lock)

    async def plan(self, make: Callable[[dict[str, Iterator[FileRecord]]], T]) -> T:
        """Call ``make`` in the owning thread with each partition's rows, in path order."""
        return await self._in_state_thread(
            lambda: make({name: state.records() for name, state in self._states.items()})
        )

    async def record(
        self,
        rows: Iterable[FileRecord] = (),
        contradictions: Iterable[DigestMismatch] = (),
        failures: Iterable[Outcome] = (),
    ) -> None:
        """One commit in each partition concerned."""
        work: dict[str, _Commit] = defaultdict(_Commit)
        for row in rows:
            work[partition_of(row.path)].rows.append(row)
        for contradiction in contradictions:
            work[partition_of(contradiction.path)].contradictions.append(contradiction)
        for failure in failures:
            work[partition_of(failure.path)].failures.append(failure)
        now = time()

        def write() -> None:
            self.check(work)
            for name, each in work.items():
                self._states[name].record(each.rows, each.contradictions, each.failures, at=now)

        await self._in_state_thread(write)

    async def remember(self, selections: Iterable[Selection]) -> None:
        """Note in each partition what it was pulled with."""
        now = time()

        def write() -> None:
            self.check(self._states)
            for state in self._states.values():
                for selection in selections:
                    state.record_selection(selection, at=now)

        await self._in_state_thread(write)

    async def record_rate(self, count: int, seconds: float) -> None:
        """Note what the line gave, for later estimates: ``count`` bytes in ``seconds``."""
        now = time()

        def write() -> None:
            self.check(self._states)
            for state in self._states.values():
                state.record_rate(count, seconds, at=now)

        if count > 0:
            await self._in_state_thread(write)

    async def forget(self, paths: Iterable[str]) -> None:
        """Withdraw the rows of files that were found wrong, in the partitions held."""
        mine: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            mine[partition_of(path)].append(path)

        def withdraw() -> None:
            self.check(name for name in mine if name in self._states)
            for name, each in mine.items():
                if name in self._states:
                    self._states[name].forget(each)

        await self._in_state_thread(withdraw)

    async def contradictions(self) -> dict[str, DigestMismatch]:
        """The known contradictions, by path."""
        return await self._in_state_thread(
            lambda: {
                known.path: known for state in self._states.values() for known in state.mismatches()
            }
        )

    def partials(self) -> set[str]:
        """The digests of which some bytes are there."""
        return {
            digest for name in self.names for digest in unclaimed_names(self._tree.partials(name))
        }

    # ── inside ─────────────────────────────────────────────────────────────────────────────────

    async def _in_state_thread(self, call: Callable[[], T]) -> T:
        return await run_in_thread(call, self._thread)

    def _workplace(self, name: str, on_loss: Callable[[LockLost], None]) -> LockedFolder:
        what = "the tables and the root" if name == ROOT else f"shard {name}"
        lock = Lock(self._tree.partition(name), describe=what, on_loss=on_loss)
        return LockedFolder(lock, self._tree.partials(name))

    def _publish(self, *, only_new: bool) -> None:
        for state in self._states.values():
            if state.unpublished and (state.snapshot_at is None or not only_new):
                # A convenience: what was committed is safe, and a full disk the run itself meets.
                with suppress(DiskError):
                    state.publish()

    def _open(self) -> None:
        for name in self.names:
            self._states[name], aside = State.open(
                self._tree.partition(name),
                self._stamp,
                token=self._held[name].lock.token,
                check_lock=partial(self.check, (name,)),
            )
            self.set_aside += aside
