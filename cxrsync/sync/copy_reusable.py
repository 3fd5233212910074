"""Copy over files of an older version: clone, link or copy them, then hash and publish them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
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
from cxrsync.sync.file_job import FileJob
from cxrsync.sync.publisher import PublishItem
from cxrsync.sync.scheduler import Scheduler
from cxrsync.sync.sync_context import SyncContext


class CarryOver:
    """Clone, link or copy the reusable files of a plan, hash them, and publish them.

    A file that is missing or wrong in the older version is fetched.
    """

    def __init__(self, sync: SyncContext, plan: Plan, scheduler: Scheduler, method: Link) -> None:
        self._partitions = sync.partitions
        self._publisher = sync.publisher
        self._plan = plan
        self._scheduler = scheduler
        self._method = method
        self._budget = sync.context.budget
        self._disk = sync.context.disk

    async def run(self) -> None:
        """Copy and hash all reusable files, on every core."""
        await map_on_all_cores(self._allowed(), self._copy, self._dispatch)

    def _allowed(self) -> Iterator[tuple[Entry, str]]:
        """Yield the files to copy, as long as the run's budget allows any."""
        for item in self._plan.entries_to_reuse():
            if not self._budget.take_file():
                self._scheduler.stopped_at_limit = True
                return
            yield item

    async def _dispatch(
        self, item: tuple[Entry, str], verified: VerifiedFile | OSError | None
    ) -> None:
        if isinstance(verified, VerifiedFile):
            await self._publisher.submit(PublishItem(verified, copied=True))
        else:
            self._scheduler.add(FileJob(item[0], drawn=True))
            await asyncio.sleep(0)

    def _copy(self, item: tuple[Entry, str]) -> VerifiedFile | None:
        entry, path = item
        for tree in self._plan.older:
            found = tree.find(path)
            if found is None:
                continue
            # The partial has the name of a copy, which a later run removes and never resumes: if it
            # is a hard link, writing to it would change the older version.
            partial = self._partitions.copy(entry)
            try:
                make_folders(partial.path.parent)
                with self._disk.space_for(found.size if self._plan.copies_take_space else 0):
                    method = clone_link_or_copy(tree.final(path), partial.path, self._method)
                if sha256_file(str(partial.path)) == entry.sha256:
                    partial.load()
                    # PhysioNet hard-links files between versions, so their time is the same there.
                    time = None if method is Link.HARDLINK else found.mtime_ns / 1e9
                    partial.bind(ObjectVersion("", found.size, None, time))
                    return VerifiedFile(entry, partial)
            except OSError:
                pass  # the file is fetched instead, into another partial
            with suppress(OSError):
                partial.path.unlink()
        return None
