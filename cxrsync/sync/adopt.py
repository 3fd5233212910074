"""Hashing what is there without proof: right files are adopted, the others fetched."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

from cxrsync.model import Entry, Outcome, Result
from cxrsync.sanitize import reason_of
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.filesystem import reading_error
from cxrsync.storage.parallel_hash import on_every_core
from cxrsync.storage.publish import close_to_others
from cxrsync.storage.tree import Tree
from cxrsync.sync.publisher import Adopted, Publisher
from cxrsync.sync.scheduler import FileJob, Scheduler


class Adopter:
    """Takes up files without proof: right ones are adopted, the others go to the queue."""

    def __init__(
        self,
        tree: Tree,
        entries: Iterator[Entry],
        queue: Scheduler,
        publisher: Publisher,
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
        self._publisher = publisher
        self._fail = fail

    async def run(self) -> None:
        """Hash on every core until there is nothing left to prove."""
        await on_every_core(self._entries, self._prove, self._sort)

    async def _sort(self, entry: Entry, found: Adopted | OSError | None) -> None:
        if isinstance(found, FileNotFoundError):
            self._queue.add(FileJob(entry))
        elif isinstance(found, OSError):
            if error := reading_error(found, "cannot read what is there"):
                raise error
            reason = f"cannot read what is there: {reason_of(found)}"
            self._fail(Outcome(entry.path, Result.FAILED, reason=reason))
        elif found is None:
            self._queue.add(FileJob(entry, short=True))
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
            return Adopted(entry, before, open_to_others=not close_to_others(final))
        return None
