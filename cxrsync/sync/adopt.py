"""Hash files that are there and unverified: right ones are adopted, the others fetched."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

from cxrsync.model import Entry, Outcome, Result
from cxrsync.sanitize import reason_of
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.filesystem import reading_error
from cxrsync.storage.parallel_hash import map_on_all_cores
from cxrsync.storage.publish import remove_access_of_others
from cxrsync.sync.context import SyncContext
from cxrsync.sync.publisher import Adopted
from cxrsync.sync.scheduler import FileJob, Scheduler


class Adopter:
    """Hashes files that are there and unverified: right ones are adopted, the others fetched."""

    def __init__(
        self,
        sync: SyncContext,
        entries: Iterator[Entry],
        scheduler: Scheduler,
        *,
        fsync: bool,
        set_aside: Callable[[str], bool] = lambda _path: False,
    ) -> None:
        """``set_aside``: gives a file up that the disk cannot read (EIO), so that it is fetched;
        whether it did."""
        self._tree = sync.target.tree
        self._outcomes = sync.outcomes
        self._publisher = sync.publisher
        self._entries = entries
        self._scheduler = scheduler
        self._fsync = fsync
        self._set_aside = set_aside

    async def run(self) -> None:
        """Hash on every core until there is nothing left to prove."""
        await map_on_all_cores(self._entries, self._prove, self._sort)

    async def _sort(self, entry: Entry, found: Adopted | OSError | None) -> None:
        if isinstance(found, FileNotFoundError):
            self._scheduler.add(FileJob(entry))
        elif isinstance(found, OSError):
            if error := reading_error(found, "cannot read what is there"):
                raise error
            reason = f"cannot read what is there: {reason_of(found)}"
            self._outcomes.failed(Outcome(entry.path, Result.FAILED, reason=reason))
        elif found is None:
            self._scheduler.add(FileJob(entry, short=True))
        else:
            await self._publisher.submit(found)

    def _prove(self, entry: Entry) -> Adopted | None:
        """The file, if it has the digest."""
        self._tree.check_parent(entry.path)  # first of all: it may be closed to others
        final = self._tree.final(entry.path)
        before = self._tree.find(entry.path)
        try:
            right = sha256_file(final, fsync=self._fsync) == entry.sha256
        except OSError as problem:
            if problem.errno == errno.EIO and self._set_aside(entry.path):
                raise FileNotFoundError(errno.ENOENT, "set aside", final) from None
            raise
        if right and before is not None and before == self._tree.find(entry.path):
            return Adopted(entry, before, open_to_others=not remove_access_of_others(final))
        return None
