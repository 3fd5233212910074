"""Acquire and release the lock of a folder of partials.

A run that waits for a lock emits an event at once and then every half minute. A signal, or the
caller's cancellation, ends the wait within half a second. Partials that other runs left in the
folder are taken over before anything else is done there. Before the lock is released, this run's
own partials get the names under which the next run takes them over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TypeVar

from cxrsync import humanize
from cxrsync.config.job import TransferLimits
from cxrsync.events import EventSink, Notice, Waiting
from cxrsync.storage.leftovers import recover_partials, release_partials
from cxrsync.storage.lock import Holder, Lock
from cxrsync.threads import run_in_cancellable_thread, run_in_thread

T = TypeVar("T")

# Between two attempts to acquire a lock.
POLL_SECONDS = 0.5
# Between two events that say that the run waits.
NOTICE_SECONDS = 30.0


def call_in_loop(call: Callable[[T], None]) -> Callable[[T], None]:
    """Return a function for other threads that calls ``call`` in the running event loop.

    After the loop is closed it does nothing.
    """
    loop = asyncio.get_running_loop()

    def schedule(argument: T) -> None:
        with suppress(RuntimeError):  # the loop is closed: the run is over
            loop.call_soon_threadsafe(call, argument)

    return schedule


def shared_lock_timeout(limits: TransferLimits) -> float:
    """Return the seconds to wait for the locks of the manifest and of the tables.

    Every run of a tree needs these files, and another run may be fetching them: a job array starts
    many runs at once. So the wait is longer than ``--wait-lock`` alone may say.
    """
    return max(limits.wait_lock, limits.give_up_after)


@dataclass(frozen=True, slots=True)
class LockedFolder:
    """A folder of partials and the lock that guards it.

    ``only``: the name of the folder's only partial, None if it may hold many. ``digest_known``: as
    of a :class:`~cxrsync.storage.partial.Partial`.
    """

    lock: Lock
    folder: Path
    only: str | None = None
    digest_known: bool = True

    async def acquire(
        self, timeout: float, emit: EventSink, next_folders: Sequence[LockedFolder] = ()
    ) -> None:
        """Acquire the lock, then take over the partials that other runs left.

        Wait up to ``timeout`` seconds for the owner of the lock. The wait is longer only if the
        owner is of an earlier boot of this machine: whether it has ended is known soon.
        ``next_folders``: folders that the caller locks afterwards. Their owners are watched during
        the wait, so that the silence of an owner of several locks counts for all of them at once.

        Raises: Locked, LockLost, DiskError. After an error or a cancellation the lock is not held.
        """
        try:
            await acquire_lock(self.lock, timeout, emit, next_folders)
            replaced = await run_in_thread(self.lock.replaced_owners)
            for each in replaced:
                if not each.dead:
                    emit(Notice(f"{each.words}, which no longer responds"))
            forbidden = await run_in_cancellable_thread(
                lambda unwanted: recover_partials(
                    self.folder, self.lock, replaced,
                    only=self.only, digest_known=self.digest_known, cancelled=unwanted.is_set,
                )
            )  # fmt: skip
            if forbidden:
                emit(Notice(_describe_forbidden(self.folder, len(forbidden))))
        except BaseException:
            # A thread may have acquired the lock after the cancellation.
            await run_in_thread(self.lock.release)
            raise

    async def release(self) -> None:
        """Leave the partials for the next run, and release the lock.

        No partial in the folder may be in use any more.
        """
        try:
            await run_in_thread(lambda: release_partials(self.folder, self.lock, only=self.only))
        finally:
            # Also after a disk error: a lock whose owner is alive would keep all other runs out.
            await run_in_thread(self.lock.release)


async def acquire_lock(
    lock: Lock, timeout: float, emit: EventSink, next_folders: Sequence[LockedFolder] = ()
) -> None:
    """Acquire a lock, as :meth:`LockedFolder.acquire` does. Raises: Locked, DiskError.

    After a cancellation the lock may be held: the caller releases it."""

    def attempt() -> Holder | None:
        holder = lock.try_acquire()
        if holder is not None:
            for each in next_folders:
                each.lock.watch_owner()
        return holder

    wait = _Wait(timeout, emit)
    while (holder := await run_in_thread(attempt)) is not None:
        if wait.is_over(holder):
            raise lock.refusal(holder)
        wait.report(holder)
        await asyncio.sleep(wait.seconds(holder))


class _Wait:
    """The wait for one lock: how long it goes on, and what is said meanwhile."""

    def __init__(self, timeout: float, emit: EventSink) -> None:
        self._timeout = timeout
        self._emit = emit
        self._began = monotonic()
        self._last_event: float | None = None

    def is_over(self, holder: Holder) -> bool:
        """Whether the time is over, and the holder is not likely to be gone soon."""
        return self._left(holder, monotonic()) <= 0

    def seconds(self, holder: Holder) -> float:
        """How long to sleep before the next attempt."""
        return min(POLL_SECONDS, max(0.0, self._left(holder, monotonic())))

    def report(self, holder: Holder) -> None:
        """Emit at once, and then every half minute, who is waited for."""
        now = monotonic()
        waited = now - self._began
        if self._last_event is None or waited - self._last_event >= NOTICE_SECONDS:
            self._last_event = waited
            self._emit(Waiting(_describe(holder), waited, self._left(holder, now)))

    def _left(self, holder: Holder, now: float) -> float:
        return max(self._began + self._timeout - now, holder.ends_in or 0.0)


def _describe_forbidden(folder: Path, count: int) -> str:
    partials = "1 partial download" if count == 1 else f"{count} partial downloads"
    return (
        f"{partials} in {folder} cannot be opened (permission denied), probably another user's: "
        "left unchanged; the files that they belong to are downloaded from the start"
    )


def _describe(holder: Holder) -> str:
    if holder.ends_in is None:
        return holder.words
    soon = humanize.duration(holder.ends_in)
    return f"{holder.words}; if this machine has restarted since, that will be known in {soon}"
