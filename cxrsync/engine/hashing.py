"""Hashing files on every core: to prove what is there, beside the transfers or by itself."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from time import monotonic
from typing import TypeVar

from cxrsync.engine.publication import Adopted, Publication
from cxrsync.engine.queue import Queue, Task
from cxrsync.model import Entry, Outcome, Result
from cxrsync.sanitize import reason_of
from cxrsync.store.hashing import digest_of
from cxrsync.store.layout import Tree, reading_error
from cxrsync.store.publish import close_to_others
from cxrsync.store.threads import in_thread

# How many small files are handed over at a time, and for how many seconds at most.
_AT_A_TIME = 32
_A_MOMENT = 0.05

T = TypeVar("T")
R = TypeVar("R")


async def on_every_core(
    items: Iterator[T], work: Callable[[T], R], done: Callable[[T, R | OSError], Awaitable[None]]
) -> None:
    """Do ``work`` on each item in threads, as many as there are cores, and tell ``done``.

    ``items`` is read as threads become free, a few ahead of them: to hand over each small file by
    itself would cost more than to hash it. An OSError is a result.
    """

    def attempt(item: T) -> R | OSError:
        try:
            return work(item)
        except OSError as problem:
            return problem

    def attempt_some(some: Sequence[T]) -> list[R | OSError]:
        """As many as a moment allows: at least one."""
        over = monotonic() + _A_MOMENT
        results = [attempt(some[0])]
        while len(results) < len(some) and monotonic() < over:
            results.append(attempt(some[len(results)]))
        return results

    async def core() -> None:
        while some := list(islice(items, _AT_A_TIME)):
            while some:
                results = await in_thread(partial(attempt_some, some), pool)
                for item, result in zip(some, results, strict=False):
                    await done(item, result)
                some = some[len(results) :]

    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores, thread_name_prefix="hash") as pool:
        async with asyncio.TaskGroup() as group:
            for _ in range(cores):
                group.create_task(core())


class Hashing:
    """Takes up files without proof: right ones are adopted, the others go to the queue."""

    def __init__(
        self,
        tree: Tree,
        entries: Iterator[Entry],
        queue: Queue,
        publication: Publication,
        fail: Callable[[Outcome], None],
        *,
        fsync: bool,
        set_aside: Callable[[str], bool] = lambda _path: False,
    ) -> None:
        """``set_aside``: whether a file that the disk cannot read (EIO) was given up and set aside,
        to be fetched anew."""
        self._fsync = fsync
        self._set_aside = set_aside
        self._tree = tree
        self._entries = entries
        self._queue = queue
        self._publication = publication
        self._fail = fail

    async def run(self) -> None:
        """Hash on every core until there is nothing left to prove."""
        await on_every_core(self._entries, self._prove, self._sort)

    async def _sort(self, entry: Entry, found: Adopted | OSError | None) -> None:
        if isinstance(found, FileNotFoundError):
            self._queue.add(Task(entry))
        elif isinstance(found, OSError):
            if error := reading_error(found, "cannot read what is there"):
                raise error
            reason = f"cannot read what is there: {reason_of(found)}"
            self._fail(Outcome(entry.path, Result.FAILED, reason=reason))
        elif found is None:
            self._queue.add(Task(entry, short=True))
        else:
            await self._publication.put(found)

    def _prove(self, entry: Entry) -> Adopted | None:
        """The file, if it has the digest."""
        self._tree.check_parent(entry.path)  # first of all: it may be closed to others
        final = self._tree.final(entry.path)
        before = self._tree.find(entry.path)
        try:
            right = digest_of(final, fsync=self._fsync) == entry.sha256
        except OSError as problem:
            if problem.errno == errno.EIO and self._set_aside(entry.path):
                raise FileNotFoundError(errno.ENOENT, "set aside", final) from None
            raise
        if right and before is not None and before == self._tree.find(entry.path):
            return Adopted(entry, before, open_to_others=not close_to_others(final))
        return None
