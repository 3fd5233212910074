"""``iter_verified``: every selected image once, verified, without keeping it.

1. Manifest and tables are fetched into the tree, as for a pull.
2. Each connection takes the next image that the record does not have. An image that is in the tree
   and has its digest is taken from there. Any other is fetched into a partial, which a later call
   resumes.
3. The reader gets an image when its bytes have the published digest. To ask for the next one says
   that this one was used: that is recorded, and then its partial is deleted.

So the disk holds no more than the images in flight: at most twice as many as there are connections.
With ``keep`` each image gets its final name instead, and its record in the state, as by a pull.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cxrsync.cancellation import CancelToken
from cxrsync.config.job import Job
from cxrsync.dataset.resolve_selection import ResolvedSelection
from cxrsync.dataset.run_context import RunContext
from cxrsync.dataset.source_factory import open_source, opened
from cxrsync.errors import CxrsyncError, ImagesFailed
from cxrsync.events import EventSink, FileDone
from cxrsync.model import Entry, Outcome, Result
from cxrsync.operations.exit_status import explained_errors
from cxrsync.operations.prepare import prepare
from cxrsync.operations.prerequisites import fetch_prerequisites
from cxrsync.operations.resolve import resolve
from cxrsync.operations.share_tree import share_tree
from cxrsync.sanitize import reason_of
from cxrsync.stats import RunStats
from cxrsync.storage.filesystem import disk_failure
from cxrsync.storage.stream_record import StreamRecord
from cxrsync.sync.image_fetcher import FetchOrder, ImageFetcher, ReadyImage
from cxrsync.sync.partitions import Partitions
from cxrsync.threads import run_in_thread, wait_to_end


@dataclass(frozen=True, slots=True, repr=False)
class VerifiedImage:
    """One image whose bytes have the published digest.

    path: below the version's folder. sha256: in hex. data: the bytes; None if the image is kept.
    file: where it is kept; None if it is not.
    """

    path: str
    sha256: str
    data: bytes | None = None
    file: Path | None = None

    def __repr__(self) -> str:
        where = "in memory" if self.file is None else "on the disk"
        return f"<VerifiedImage {where}>"


@dataclass(frozen=True, slots=True)
class StreamOrder:
    """``job``: selects images only. ``keep``: keep them in the tree. ``record``: the file that
    remembers what was used; None: nothing is remembered."""

    job: Job
    keep: bool = False
    record: Path | None = None


async def stream_images(order: StreamOrder, emit: EventSink) -> AsyncGenerator[VerifiedImage]:
    """Yield each selected image that the record does not have.

    Closing the generator ends the work; what was begun is kept for the next call.

    Raises: ImagesFailed at the end, if single images could not be had; any CxrsyncError that ends
    the work before.
    """
    stream = _Stream(order, emit)
    working = asyncio.create_task(stream.work())
    try:
        while (ready := await stream.ready.get()) is not None:
            if working.done():  # it has failed: its files are no longer ours
                break
            image = await stream.read(ready)
            if image is not None:
                yield image
                await stream.use(ready)
        stream.end_reading()
        await working
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await wait_to_end(working)
    stream.raise_failures()


def _list_digest(selected: ResolvedSelection) -> str:
    """Return the SHA-256 of the list of the selected images."""
    digest = hashlib.sha256()
    for entry in selected.entries():
        digest.update(f"{entry.as_line()}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


@dataclass(slots=True)
class _Stream:
    """The work behind one stream."""

    order: StreamOrder
    emit: EventSink
    cancel: CancelToken = field(default_factory=CancelToken)
    ready: asyncio.Queue[ReadyImage | None] = field(default_factory=asyncio.Queue)
    failures: list[Outcome] = field(default_factory=list)
    _fetcher: ImageFetcher | None = None

    async def work(self) -> None:
        """Fetch all images, until the reader has had the last one."""
        job = self.order.job
        try:
            with explained_errors(self.cancel):
                async with (
                    opened(open_source(job, self.emit, None)) as source,
                    prepare(job, source, self.emit, RunStats(), self.cancel) as run,
                ):
                    await share_tree(run)
                    prerequisites = await fetch_prerequisites(run)
                    with closing(prerequisites.manifest):
                        await self._work(run, await resolve(run, prerequisites))
        finally:
            self.ready.put_nowait(None)

    async def _work(self, run: RunContext, selected: ResolvedSelection) -> None:
        about = {
            "dataset": run.target.dataset.slug,
            "version": run.target.version,
            "selections": [each.as_json() for each in run.job.selections],
        }
        if self.order.record is not None:  # a position is one in this very list
            about["list_sha256"] = await run_in_thread(lambda: _list_digest(selected))
        record = StreamRecord(self.order.record, about)
        partitions = Partitions(run.target.tree, selected.partitions, run.stamp, run.now)
        if not partitions.names:
            return
        await partitions.open(run.job.limits.wait_lock, self.emit, self.cancel.fail)
        try:
            with closing(record):
                with self._of_record():
                    await run_in_thread(record.load)
                if self.order.keep:
                    await partitions.record_selections(run.job.selections)
                order = FetchOrder(selected, self.order.keep, self.ready.put_nowait, self.fail)
                self._fetcher = ImageFetcher(order, run, partitions, record)
                await self._fetcher.fetch_all()
        except BaseException:
            with suppress(CxrsyncError):  # the first error is the one to raise
                await partitions.close()
            raise
        await partitions.close()

    async def read(self, ready: ReadyImage) -> VerifiedImage | None:
        """Return the image for the reader; None if the disk has changed it meanwhile."""
        entry = ready.entry
        if self.order.keep:
            return VerifiedImage(entry.path, entry.sha256, file=ready.file)
        assert self._fetcher is not None
        try:
            data = await run_in_thread(ready.file.read_bytes)
            if hashlib.sha256(data).hexdigest() == entry.sha256:
                return VerifiedImage(entry.path, entry.sha256, data)
            problem = "the disk has changed its bytes"
        except OSError as error:
            problem = reason_of(error)
        self.fail(entry, problem)
        await self._fetcher.drop(ready)
        return None

    async def use(self, ready: ReadyImage) -> None:
        """Note that the reader has used an image. Raises: DiskError."""
        assert self._fetcher is not None
        with self._of_record():
            self._fetcher.record.use(ready.entry.path)
        await self._fetcher.drop(ready)

    @contextmanager
    def _of_record(self) -> Iterator[None]:
        """Raise an OSError of the record as what it is."""
        try:
            yield
        except OSError as problem:
            raise disk_failure(problem, f"cannot write the record {self.order.record}") from None

    def fail(self, entry: Entry, reason: str, result: Result = Result.FAILED) -> None:
        """Note that an image cannot be had."""
        outcome = Outcome(entry.path, result, reason=reason)
        self.failures.append(outcome)
        self.emit(FileDone(outcome))

    def end_reading(self) -> None:
        """Note that the reader has had the last image."""
        if self._fetcher is not None:
            self._fetcher.is_read.set()

    def raise_failures(self) -> None:
        """Raise ImagesFailed if there are any."""
        if self.failures:
            raise ImagesFailed(tuple(self.failures))
