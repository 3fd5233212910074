"""Copy files of an older version: cloned, linked or copied, then hashed."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from cxrsync.config.job import Link
from cxrsync.model import Entry
from cxrsync.plan.planner import Plan
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.filesystem import make_folders
from cxrsync.storage.parallel_hash import map_on_all_cores
from cxrsync.storage.publish import VerifiedFile
from cxrsync.storage.reflink import clone_link_or_copy
from cxrsync.storage.sidecar import ObjectVersion
from cxrsync.sync.context import SyncContext
from cxrsync.sync.publisher import PublishItem
from cxrsync.sync.scheduler import FileJob, Scheduler


class CarryOver:
    """Copies files of older versions: cloned, linked or copied, then hashed like any other file
    before they are published. A file that is wrong or missing there is fetched."""

    def __init__(self, sync: SyncContext, plan: Plan, scheduler: Scheduler, how: Link) -> None:
        self._partitions = sync.partitions
        self._publisher = sync.publisher
        self._plan = plan
        self._scheduler = scheduler
        self._how = how

    async def run(self) -> None:
        """Copy and hash on every core until nothing is left to copy."""
        await map_on_all_cores(self._plan.entries_to_reuse(), self._take, self._sort)

    async def _sort(self, item: tuple[Entry, str], ready: VerifiedFile | OSError | None) -> None:
        if isinstance(ready, VerifiedFile):
            await self._publisher.submit(PublishItem(ready, copied=True))
        else:
            self._scheduler.add(FileJob(item[0]))
            await asyncio.sleep(0)

    def _take(self, item: tuple[Entry, str]) -> VerifiedFile | None:
        entry, path = item
        for tree in self._plan.older:
            found = tree.find(path)
            if found is None:
                continue
            # A name that is swept away, never gone on with, should a kill leave it: a hard link's
            # bytes are the older version's own.
            partial = self._partitions.copy(entry)
            try:
                make_folders(partial.path.parent)
                how = clone_link_or_copy(tree.final(path), partial.path, self._how)
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
