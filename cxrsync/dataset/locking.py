"""Taking the lock of a folder of partials, and giving it back.

Whoever waits says so at once and every half minute, and stops waiting within a moment where a
signal or the caller wants it. What other runs left in the folder is made ours before anything else
is done there; what we leave rests before the lock is released.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cxrsync import humanize
from cxrsync.config.job import TransferLimits
from cxrsync.events import EventSink, Notice, Waiting
from cxrsync.storage.executors import run_in_cancellable_thread, run_in_thread
from cxrsync.storage.leftovers import recover_partials, release_partials
from cxrsync.storage.lock import Holder, Lock

T = TypeVar("T")

LOOK_SECONDS = 0.5
SAY_SECONDS = 30.0


def in_loop(call: Callable[[T], None]) -> Callable[[T], None]:
    """``call`` for other threads: it is called in the running loop, as long as that runs."""
    loop = asyncio.get_running_loop()

    def tell(what: T) -> None:
        with suppress(RuntimeError):  # it is closed: nobody is left to be told
            loop.call_soon_threadsafe(call, what)

    return tell


def patience_for_shared(limits: TransferLimits) -> float:
    """Seconds to wait for what every run of a tree needs and another one may be fetching just now:
    the manifest, the tables. A job array starts many runs at once."""
    return max(limits.wait_lock, limits.give_up_after)


@dataclass(frozen=True, slots=True)
class Workplace:
    """A folder of partials and the lock that guards it. ``only``: the name of the one partial that
    lies there; ``digest_known`` as of a :class:`~cxrsync.storage.partial.Partial`."""

    lock: Lock
    folder: Path
    only: str | None = None
    digest_known: bool = True

    async def enter(
        self, patience: float, emit: EventSink, later: Sequence[Workplace] = ()
    ) -> None:
        """Take the lock, waiting up to ``patience`` seconds for who holds it; longer only for one
        of an earlier boot of this machine, which is soon known to have ended. Then adopt what lies
        there. ``later``: whose turn is next; that their owners are silent shows meanwhile.

        Raises Locked, LockLost, DiskError. Nothing is held then, nor after a cancellation.
        """
        try:
            await self._take_lock(patience, emit, later)
            replaced = await run_in_thread(self.lock.replaced_owners)
            for each in replaced:
                if not each.dead:
                    emit(Notice(f"{each.words}, of which nothing was heard"))
            forbidden = await run_in_cancellable_thread(
                lambda unwanted: recover_partials(
                    self.folder, self.lock, replaced,
                    only=self.only, digest_known=self.digest_known, cancelled=unwanted.is_set,
                )
            )  # fmt: skip
            if forbidden:
                emit(Notice(_forbidden(self.folder, len(forbidden))))
        except BaseException:
            await run_in_thread(self.lock.release)  # it may have come while we were told to stop
            raise

    async def leave(self) -> None:
        """Let what is there rest, and release the lock. Nobody may be at work there any more."""
        try:
            await run_in_thread(lambda: release_partials(self.folder, self.lock, only=self.only))
        finally:
            # Whatever the disk says: a lock that a living process holds keeps everyone out.
            await run_in_thread(self.lock.release)

    async def _take_lock(
        self, patience: float, emit: EventSink, later: Sequence[Workplace]
    ) -> None:
        def attempt() -> Holder | None:
            holder = self.lock.try_acquire()
            if holder is not None:
                for each in later:
                    each.lock.watch_owner()
            return holder

        clock = asyncio.get_running_loop().time
        began = clock()
        told: float | None = None
        while (holder := await run_in_thread(attempt)) is not None:
            now = clock()
            left = max(began + patience - now, holder.ends_in or 0.0)
            if left <= 0:
                raise self.lock.refusal(holder)
            if told is None or now - told >= SAY_SECONDS:
                told = now
                emit(Waiting(_in_words(holder), now - began, left))
            await asyncio.sleep(min(LOOK_SECONDS, left))


def _forbidden(folder: Path, count: int) -> str:
    which = "1 partial download" if count == 1 else f"{count} partial downloads"
    return (
        f"{which} in {folder} cannot be opened (permission denied), probably another user's: left "
        "unchanged; what they belong to is downloaded from the start"
    )


def _in_words(holder: Holder) -> str:
    if holder.ends_in is None:
        return holder.words
    soon = humanize.duration(holder.ends_in)
    return f"{holder.words}; if this machine was started again since, that is known in {soon}"
