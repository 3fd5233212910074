"""Fetches images for a stream: each is verified, handed over, and deleted when it was used.

Every connection fetches one image at a time. Segments, adopted files and copies, which make a pull
quick at its end, are of no use here: the reader takes one image after the other.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cxrsync.dataset.resolve_selection import ResolvedSelection
from cxrsync.dataset.run_context import RunContext
from cxrsync.errors import Corrupted, unwrapped
from cxrsync.events import FileDone, Notice
from cxrsync.model import ROOT, DigestMismatch, Entry, FileRecord, FileStat, Outcome, Result
from cxrsync.progress_events import Activity, Phase
from cxrsync.sanitize import reason_of
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.filesystem import disk_error
from cxrsync.storage.partial import Partial
from cxrsync.storage.publish import VerifiedFile, publish
from cxrsync.storage.stream_record import StreamRecord
from cxrsync.storage.trash import Trash
from cxrsync.sync.digest_mismatch import Observation, Verdict, described, judge
from cxrsync.sync.partitions import Partitions
from cxrsync.sync.save_partials import save_and_close
from cxrsync.threads import run_in_thread
from cxrsync.transfer.pool import TransferPool, fetch_alone
from cxrsync.transfer.transfer import Transfer


@dataclass(frozen=True, slots=True)
class ReadyImage:
    """An image for the reader. ``partial``: its own file; None if the tree has it."""

    entry: Entry
    file: Path
    partial: Partial | None = None


@dataclass(frozen=True, slots=True)
class FetchOrder:
    """Which images to fetch, and what to do with them.

    ``keep``: give them their final names. ``deliver`` is called with each image that is ready, and
    with None after the last; ``fail`` with each that cannot be had, the reason, and what it is.
    """

    selected: ResolvedSelection
    keep: bool
    deliver: Callable[[ReadyImage | None], None]
    fail: Callable[[Entry, str, Result], None]


class ImageFetcher:
    """Fetches the images of locked partitions, each until it is ready for the reader.

    ``is_read`` is to be set when the reader has had the last one.
    """

    def __init__(
        self,
        order: FetchOrder,
        run: RunContext,
        partitions: Partitions,
        record: StreamRecord,
    ) -> None:
        self.record = record
        self._order = order
        self._run = run
        self.is_read = asyncio.Event()
        self._partitions = partitions
        self._tree = run.target.tree
        self._context = run.transfer_context(TransferPool(), run.probe)
        self._trash = Trash(self._tree, run.stamp, lambda _path: partitions.check())
        self._with_partial = partitions.partials()
        self._slots = asyncio.Semaphore(2 * run.job.limits.connections)
        self._turn = asyncio.Lock()
        # The digests of the images in flight: two paths with one digest have one partial.
        self._digests: dict[str, asyncio.Event] = {}

    async def fetch_all(self) -> None:
        """Fetch every image, and wait until the reader has had the last. Raises: CxrsyncError."""
        for name in self._partitions.names:
            if name != ROOT:
                self._tree.check_folder("files")
                self._tree.check_folder(f"files/{name}")
        self._run.emit(Phase(Activity.FETCHING))
        entries = self._remaining()
        with unwrapped():
            async with asyncio.TaskGroup() as group:
                for _ in range(self._run.job.limits.connections):
                    group.create_task(self._serve(entries))
        self._order.deliver(None)
        await self.is_read.wait()

    def _remaining(self) -> Iterator[Entry]:
        """Yield the images that the record does not have. To be called in a thread."""
        position, is_new = self.record.position, True
        for entry in self._order.selected.entries():
            if not position.is_used(entry.path):
                is_new = False
                yield entry
            elif entry.path == position.last and entry.sha256 in self._with_partial:
                # A kill came after its record and before the deletion of its bytes.
                leftover = self._partitions.partial(entry)
                leftover.load()
                leftover.discard()
        if is_new:
            self._run.emit(Notice("every selected image was used before, by the record"))

    async def _serve(self, entries: Iterator[Entry]) -> None:
        """Do the work of one connection until no image is left."""
        while True:
            await self._slots.acquire()
            async with self._turn:
                entry = await run_in_thread(lambda: next(entries, None))
                if entry is None:
                    self._slots.release()
                    return
                while (other := self._digests.get(entry.sha256)) is not None:
                    await other.wait()
                self._digests[entry.sha256] = asyncio.Event()
                self.record.begin(entry.path)
            ready = await self._obtain(entry)
            if ready is None:
                self._release(entry)
            else:
                self._order.deliver(ready)

    async def drop(self, ready: ReadyImage) -> None:
        """Delete what is left of an image that the reader has had."""
        if ready.partial is not None:
            await run_in_thread(ready.partial.discard)
        self._release(ready.entry)

    def _release(self, entry: Entry) -> None:
        self._digests.pop(entry.sha256).set()
        self._slots.release()

    async def _obtain(self, entry: Entry) -> ReadyImage | None:
        """Return the image when its bytes are here and right; None if it has failed."""
        final = self._tree.final(entry.path)
        if await run_in_thread(lambda: _has_digest(final, entry.sha256)):
            return ReadyImage(entry, Path(final))
        partial = self._partitions.partial(entry)
        try:
            if not await self._fetch(entry, partial):
                return None
            if not self._order.keep:
                return ReadyImage(entry, partial.path, partial)
            await self._publish(entry, partial)
            return ReadyImage(entry, Path(final))
        except OSError as problem:
            self._partitions.check()
            if error := disk_error(problem, f"cannot write {entry.path}"):
                raise error from None
            self._order.fail(entry, f"cannot write: {reason_of(problem)}", Result.FAILED)
            return None
        finally:
            await save_and_close([partial])

    async def _fetch(self, entry: Entry, partial: Partial) -> bool:
        """Fetch an image into its partial; return whether its bytes are right."""
        ref = self._run.target.remote(entry.path)
        transfer = Transfer(self._context, ref, partial)
        await transfer.begin(load=entry.sha256 in self._with_partial)
        observations: list[Observation] = []
        while True:
            await fetch_alone(TransferPool(), transfer, 1)
            if transfer.failure is not None:
                self._order.fail(entry, str(transfer.failure), Result.FAILED)
                return False
            digest = await run_in_thread(partial.digest)
            if digest == entry.sha256:
                self._tell_fetched(entry, transfer)
                return True
            observations.append(Observation(digest, whole=transfer.resumed == 0))
            verdict = judge(observations)
            if verdict is not Verdict.RETRY:
                if not self._context.distrust(ref):
                    break
                observations.clear()
            await transfer.restart(partial.generation)
        await run_in_thread(partial.discard)
        if verdict is Verdict.CORRUPTED:
            self._order.fail(
                entry, str(Corrupted("its bytes arrive differently each time")), Result.FAILED
            )
        else:
            found = DigestMismatch(entry.path, entry.sha256, digest, validator="")
            self._order.fail(entry, described(found), Result.CONTRADICTED)
        return False

    def _tell_fetched(self, entry: Entry, transfer: Transfer) -> None:
        size, resumed = transfer.partial.size, transfer.resumed
        self._run.emit(FileDone(Outcome(entry.path, Result.FETCHED, size, resumed)))

    async def _publish(self, entry: Entry, partial: Partial) -> None:
        """Give an image its final name, and record it. Raises OSError, LockLost, DiskError."""
        binding = partial.object_version

        def name() -> FileStat:
            self._partitions.check()
            batch, fsync = [VerifiedFile(entry, partial)], self._run.job.fsync
            [found] = publish(self._tree, batch, self._trash.link_or_move, fsync=fsync)
            if isinstance(found, OSError):
                raise found
            return found

        found = await run_in_thread(name)
        source = binding.source if binding else ""
        validator = (binding.validator if binding else None) or ""
        now = self._partitions.clock()
        record = FileRecord(
            entry.path, entry.sha256, found.size, found.mtime_ns, source, validator, now
        )
        await self._partitions.record([record])


def _has_digest(file: str, sha256: str) -> bool:
    """Return whether a regular file is there and has the digest."""
    with suppress(OSError):
        return os.path.isfile(file) and sha256_file(file) == sha256
    return False
