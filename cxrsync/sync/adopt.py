"""Adopt files that are there and unverified: hash them, and fetch those with a wrong digest."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

from cxrsync.model import Entry, Outcome, Result
from cxrsync.progress_events import Hashed
from cxrsync.sanitize import reason_of
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.filesystem import reading_error
from cxrsync.storage.parallel_hash import map_on_all_cores
from cxrsync.storage.publish import restrict_access
from cxrsync.sync.file_job import FileJob
from cxrsync.sync.publisher import Adopted
from cxrsync.sync.scheduler import Scheduler
from cxrsync.sync.sync_context import SyncContext


class Adopter:
    """Hash unverified files. Files with the right digest are adopted, the others are fetched."""

    def __init__(
        self,
        sync: SyncContext,
        entries: Iterator[Entry],
        scheduler: Scheduler,
        *,
        fsync: bool,
        set_aside: Callable[[str], bool] = lambda _path: False,
    ) -> None:
        """``set_aside``: is called with the path of a file that the disk cannot read (EIO). It
        returns whether it has moved the file away, so that it can be fetched."""
        self._tree = sync.target.tree
        self._outcomes = sync.outcomes
        self._emit = sync.context.emit
        self._publisher = sync.publisher
        self._entries = entries
        self._scheduler = scheduler
        self._fsync = fsync
        self._set_aside = set_aside

    async def run(self) -> None:
        """Hash all files, on every core. Raises: DiskError for an error of the whole disk."""
        await map_on_all_cores(self._entries, self._verify, self._dispatch)

    async def _dispatch(self, entry: Entry, found: Adopted | OSError | None) -> None:
        stat = self._tree.find(entry.path)
        if stat is not None:
            self._emit(Hashed(stat.size))
        if isinstance(found, FileNotFoundError):
            self._scheduler.add(FileJob(entry))
        elif isinstance(found, OSError):
            if error := reading_error(found, "cannot read the existing file"):
                raise error
            reason = f"cannot read the existing file: {reason_of(found)}"
            self._outcomes.failed(Outcome(entry.path, Result.FAILED, reason=reason))
        elif found is None:
            self._scheduler.add(FileJob(entry, found_wrong=True))
        else:
            await self._publisher.submit(found)

    def _verify(self, entry: Entry) -> Adopted | None:
        """Hash a file; return None if its digest is wrong or if it changed meanwhile.

        Raises: OSError.
        """
        self._tree.check_parent(entry.path)  # before the mode of the file is changed
        final = self._tree.final(entry.path)
        before = self._tree.find(entry.path)
        try:
            is_right = sha256_file(final, fsync=self._fsync) == entry.sha256
        except OSError as problem:
            if problem.errno == errno.EIO and self._set_aside(entry.path):
                raise FileNotFoundError(errno.ENOENT, "set aside", final) from None
            raise
        if is_right and before is not None and before == self._tree.find(entry.path):
            closed = restrict_access(self._tree, entry.path)
            return Adopted(entry, before, open_to_others=not closed)
        return None
