"""Bringing over what an older version has: cloned, linked or copied, then hashed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

from cxrsync.config.job import Link
from cxrsync.dataset.context import RunContext
from cxrsync.model import Entry
from cxrsync.plan.planner import Plan
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.filesystem import make_folders
from cxrsync.storage.parallel_hash import on_every_core
from cxrsync.storage.publish import VerifiedFile
from cxrsync.storage.reflink import clone_link_or_copy
from cxrsync.storage.sidecar import ObjectVersion
from cxrsync.storage.tree import Tree
from cxrsync.sync.partitions import Partitions
from cxrsync.sync.publisher import Publisher, PublishItem
from cxrsync.sync.scheduler import FileJob, Scheduler


class CarryOver:
    """Brings what an older version has over: cloned, linked or copied, then hashed like any other
    file before it is published. What is not right there, or not there, goes to the queue."""

    def __init__(
        self,
        run: RunContext,
        plan: Plan,
        trees: list[Tree],
        partitions: Partitions,
        queue: Scheduler,
        publisher: Publisher,
    ) -> None:
        self._partitions = partitions
        self._run = run
        self._plan = plan
        self._trees = trees
        self._queue = queue
        self._publisher = publisher

    async def run(self) -> None:
        """Take over on every core until there is nothing left to take."""
        await on_every_core(self._items(), self._take, self._sort)

    def _items(self) -> Iterator[tuple[Entry, str]]:
        for offset in self._plan.to_take:
            entry = self._plan.manifest.entry_at(offset)
            yield entry, self._plan.elsewhere.get(offset, entry.path)

    async def _sort(self, item: tuple[Entry, str], ready: VerifiedFile | OSError | None) -> None:
        if isinstance(ready, VerifiedFile):
            await self._publisher.submit(PublishItem(ready, copied=True))
        else:
            self._queue.add(FileJob(item[0]))
            await asyncio.sleep(0)

    def _take(self, item: tuple[Entry, str]) -> VerifiedFile | None:
        entry, path = item
        for tree in self._trees:
            found = tree.find(path)
            if found is None:
                continue
            # A name that is swept away, never gone on with, should a kill leave it: a hard link's
            # bytes are the older version's own.
            partial = self._partitions.copy(entry)
            try:
                make_folders(partial.path.parent)
                how = clone_link_or_copy(tree.final(path), partial.path, self._run.job.link)
                if sha256_file(str(partial.path)) == entry.sha256:
                    partial.load()
                    # The site hard-links its versions: the same file has the same time there.
                    time = None if how is Link.HARDLINK else found.mtime_ns / 1e9
                    partial.bind(ObjectVersion("", found.size, None, time))
                    return VerifiedFile(entry, partial)
            except OSError:
                pass  # fetched instead, by a name of its own
            with suppress(OSError):
                partial.path.unlink()
        return None
