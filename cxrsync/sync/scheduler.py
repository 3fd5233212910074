"""The scheduler: decides what each connection does next, and follows each file to its outcome."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from cxrsync.errors import (
    AccessDenied,
    Corrupted,
    CxrsyncError,
    NotServed,
    StoppedAtLimit,
    unwrapped,
)
from cxrsync.model import DigestMismatch, Entry, Outcome, Result, partition_of
from cxrsync.sanitize import reason_of
from cxrsync.storage.filesystem import disk_error
from cxrsync.storage.partial import Partial
from cxrsync.storage.publish import VerifiedFile, continue_short_file, copy_published
from cxrsync.sync.digest_mismatch import Observation, Verdict, described, judge
from cxrsync.sync.file_job import FileJob
from cxrsync.sync.publisher import PublishItem
from cxrsync.sync.save_partials import save_and_close
from cxrsync.sync.sync_context import SyncContext
from cxrsync.threads import run_in_thread
from cxrsync.transfer.segments import Segment
from cxrsync.transfer.transfer import Transfer
from cxrsync.transfer.transfer_options import TransferOptions

Producer = Callable[[], Coroutine[None, None, None]]
"""Work that runs next to the connections and may add files to the scheduler."""


class Scheduler:
    """Fetch the files of one sync in order, several at a time, each until it has an outcome.

    An entry is read only when a connection is free. ``partials``: the digests of the files that
    have a partial. ``known``: the mismatches of earlier runs, by path. Each file is drawn from the
    run's budget before it is started.
    """

    def __init__(
        self,
        sync: SyncContext,
        *,
        partials: set[str],
        known: Mapping[str, DigestMismatch],
    ) -> None:
        self._sync = sync
        self._with_partial = partials
        self._known = known
        self._budget = sync.context.budget
        self._entries: Iterator[Entry] = iter(())
        self._queued: deque[FileJob] = deque()
        self._jobs: dict[Transfer, FileJob] = {}
        # By digest, until the file is published: there is only one transfer of a digest at a time.
        self._by_digest: dict[str, FileJob] = {}
        self._copies: set[str] = set()
        self._next_pass: list[FileJob] = []
        # The reasons of files whose retries are exhausted, by path; another pass may fetch them.
        self._exhausted: dict[str, str] = {}
        self._pass_gained = True
        self._producers = 0
        self.stopped_at_limit = False
        sync.outcomes.on_published(self.published)

    async def serve(
        self, entries: Iterator[Entry], connections: int, producers: Sequence[Producer] = ()
    ) -> None:
        """Fetch every entry over so many connections, while the producers :meth:`add` more files.

        Raises: any CxrsyncError that ends the run.
        """
        self._entries = entries
        with unwrapped():
            async with asyncio.TaskGroup() as serving:
                for _ in range(connections):
                    serving.create_task(self.serve_connection())
                # Before the first task runs, because a connection without work ends at once.
                with self.producing():
                    async with asyncio.TaskGroup() as adding:
                        for produce in producers:
                            adding.create_task(produce())

    @contextmanager
    def producing(self) -> Iterator[None]:
        """Keep the connections running while files may be added.

        Enter it before creating the task that adds files, and not inside it: it may begin late."""
        self._producers += 1
        try:
            yield
        finally:
            self._producers -= 1
            self._sync.pool.notify()

    def add(self, job: FileJob) -> None:
        """Add a file to fetch first, because hashing has found it wrong or missing."""
        self._queued.append(job)
        self._sync.pool.notify()

    # ── connections ────────────────────────────────────────────────────────────────────────────

    async def serve_connection(self) -> None:
        """Do the work of one connection until none is left. Raises as :meth:`serve`."""
        while True:
            work = self._sync.pool.free_segment()
            if work is None:
                if (job := self._next_job()) is not None:
                    await self._start(job)
                    continue
                work = self._sync.pool.shared_segment()
            if work is not None:
                await self._fetch_segment(*work)
            elif self._is_done():
                self._sync.pool.notify()
                return
            elif self._queued:  # _is_done has begun another pass: wake all connections
                self._sync.pool.notify()
            else:
                if not len(self._sync.pool):
                    self._sync.publisher.flush()
                await self._sync.pool.wait_for_work()

    async def _fetch_segment(self, transfer: Transfer, segment: Segment) -> None:
        try:
            await transfer.fetch(segment)
        except OSError as problem:
            transfer.failure = self._error_of(problem, transfer.ref.path)
        if transfer.finished and transfer in self._jobs:
            await self._finish(transfer)
        self._sync.pool.notify()

    def _next_job(self) -> FileJob | None:
        while self._queued:
            job = self._queued.popleft()
            if self._may_start(job):
                return job
            self.stopped_at_limit = True
        if not self._sync.may_begin():
            return None
        if self._budget.is_spent:
            self.stopped_at_limit = self.stopped_at_limit or next(self._entries, None) is not None
            return None
        entry = next(self._entries, None)
        return FileJob(entry, drawn=self._budget.take_file()) if entry is not None else None

    def _may_start(self, job: FileJob) -> bool:
        """Return whether the budget allows a queued file; a second attempt is not charged."""
        if job.drawn:
            return job.copy_of is not None or not self._budget.bytes_are_spent
        job.drawn = self._budget.take_file()
        return job.drawn

    def _is_done(self) -> bool:
        if self._by_digest or self._copies or self._queued or self._producers:
            return False
        if self._next_pass and self._pass_gained:
            # Another pass over the failed files, as long as the last pass has fetched any.
            self._pass_gained = False
            self._queued.extend(
                FileJob(job.entry, found_wrong=job.found_wrong, drawn=True)
                for job in self._next_pass
            )
            self._next_pass.clear()
            return False
        self.fail_exhausted()
        return True

    def fail_exhausted(self) -> None:
        """Report the files whose retries are exhausted as failed: no other pass will follow."""
        self._next_pass.clear()
        exhausted, self._exhausted = self._exhausted, {}
        for path, reason in exhausted.items():
            self._sync.outcomes.failed(Outcome(path, Result.FAILED, reason=reason))

    # ── the start and the end of a file ───────────────────────────────────────────────────────────

    async def _start(self, job: FileJob) -> None:
        entry = job.entry
        if job.copy_of is not None:
            partial = self._sync.partitions.copy(entry)  # each path its own
            self._copies.add(entry.path)
        elif entry.sha256 in self._by_digest:
            self._by_digest[entry.sha256].followers.append(job)
            return
        else:
            partial = self._sync.partitions.partial(entry)
            self._by_digest[entry.sha256] = job
        may_have_bytes = bool(job.found_wrong or job.copy_of or entry.sha256 in self._with_partial)
        known = None if may_have_bytes else self._known_mismatch(entry)
        transfer = Transfer(
            self._sync.context,
            self._sync.target.remote(entry.path),
            partial,
            TransferOptions(
                # For a known mismatch, ask only whether the source's copy has changed since.
                skip_if=(known.validator or None) if known is not None else None,
                set_aside=self._set_aside(entry) if job.copy_of is None else None,
                modified=self._sync.time_of(entry),
            ),
        )
        self._jobs[transfer] = job  # from now on close() closes its file
        try:
            if job.copy_of is not None:
                original = self._sync.target.tree.final(job.copy_of)
                await run_in_thread(lambda: self._copy(original, partial))
            elif job.found_wrong:
                # Only now: until here another path's transfer may have used the partial.
                begun, tree = self._sync.partitions.partial(entry), self._sync.target.tree
                with suppress(FileNotFoundError):
                    await run_in_thread(
                        lambda: continue_short_file(tree, entry, begun, self._sync.trash)
                    )
            await transfer.begin(load=may_have_bytes)
        except OSError as problem:
            partial.close()
            self._fail(self._jobs.pop(transfer), self._error_of(problem, entry.path))
            return
        self._sync.pool.add(transfer)
        if transfer.finished:  # the partial was complete
            await self._finish(transfer)

    def _copy(self, original: str, partial: Partial) -> None:
        with self._sync.context.disk.space_for(os.stat(original).st_size):
            copy_published(original, partial)

    def _known_mismatch(self, entry: Entry) -> DigestMismatch | None:
        """Return the mismatch that an earlier run recorded, if the manifest is still the same."""
        known = self._known.get(entry.path)
        return known if known is not None and known.expected == entry.sha256 else None

    def _set_aside(self, entry: Entry) -> Callable[[Partial], None]:
        return lambda partial: self._sync.trash.move_partial(partial, entry.path)

    async def _finish(self, transfer: Transfer) -> None:
        """Handle a transfer that has ended: the file is right, wrong, unchanged or failed."""
        job = self._jobs.pop(transfer)
        self._sync.pool.remove(transfer)
        partial = transfer.partial
        try:
            if transfer.failure is not None:
                await run_in_thread(partial.save)
                partial.close()
                self._fail(job, transfer.failure)
                return
            if transfer.unchanged and not self._sync.context.distrust(transfer.ref):
                partial.close()
                self._mismatched(job, self._known[job.entry.path])
                return
            digest = partial.digest() if partial.hashed else await run_in_thread(partial.digest)
            if digest == job.entry.sha256:
                copied = job.copy_of is not None
                resumed = 0 if copied else transfer.resumed
                item = PublishItem(VerifiedFile(job.entry, partial), resumed, copied)
                await self._sync.publisher.submit(item)
                return
            await self._judge(job, transfer, digest)
        except OSError as problem:
            partial.close()
            self._fail(job, self._error_of(problem, job.entry.path))
        except BaseException:
            self._jobs[transfer] = job  # close() closes its file
            raise

    async def _judge(self, job: FileJob, transfer: Transfer, digest: str) -> None:
        entry = job.entry
        job.observations.append(Observation(digest, whole=transfer.resumed == 0))
        known = self._known_mismatch(entry)
        verdict = judge(job.observations, known.observed if known is not None else None)
        # What a source has wrong, another may have right.
        if verdict is Verdict.RETRY or self._sync.context.distrust(transfer.ref):
            transfer.unchanged = False
            if verdict is not Verdict.RETRY:
                job.observations.clear()
            await transfer.restart(transfer.partial.generation)
            self._jobs[transfer] = job
            self._sync.pool.add(transfer)
            return
        binding = transfer.partial.object_version
        validator = (binding.validator if binding else None) or ""
        size = transfer.partial.size
        await run_in_thread(lambda: self._sync.trash.move_partial(transfer.partial, entry.path))
        if verdict is Verdict.CORRUPTED:
            self._fail(job, Corrupted("its bytes arrive differently each time"))
            return
        self._mismatched(job, DigestMismatch(entry.path, entry.sha256, digest, validator), size)

    def _mismatched(self, job: FileJob, found: DigestMismatch, size: int = 0) -> None:
        self._release(job, copied_from=None)
        self._exhausted.pop(found.path, None)
        outcome = Outcome(found.path, Result.CONTRADICTED, size, reason=described(found))
        self._sync.outcomes.mismatched(found, outcome)

    def _fail(self, job: FileJob, problem: CxrsyncError) -> None:
        self._release(job, copied_from=None)
        self._with_partial.add(job.entry.sha256)  # a later pass resumes the partial
        if isinstance(problem, StoppedAtLimit):
            self.stopped_at_limit = True
        elif isinstance(problem, NotServed | AccessDenied | Corrupted):
            # The server's answer is final: asking again would not change it.
            self._exhausted.pop(job.entry.path, None)
            self._sync.outcomes.failed(Outcome(job.entry.path, Result.FAILED, reason=str(problem)))
        else:
            self._sync.context.distrust(self._sync.target.remote(job.entry.path))
            self._exhausted[job.entry.path] = str(problem)
            self._next_pass.append(job)

    def published(self, entry: Entry, outcome: Outcome) -> None:
        """Handle the outcome of a file that the publisher has finished."""
        self._exhausted.pop(entry.path, None)
        if entry.path in self._copies:
            self._copies.discard(entry.path)
            self._sync.pool.notify()
            return
        job = self._by_digest.get(entry.sha256)
        if job is not None and job.entry.path == entry.path:
            failed = outcome.result is Result.FAILED
            self._pass_gained = self._pass_gained or not failed
            stays = not (failed or self._sync.drops_originals)  # else others are fetched, too
            self._release(job, copied_from=entry.path if stays else None)
        self._sync.pool.notify()

    def _release(self, job: FileJob, copied_from: str | None) -> None:
        """Free the digest of a job, and queue the jobs that waited for it."""
        if job.copy_of is not None:
            self._copies.discard(job.entry.path)
            return
        self._by_digest.pop(job.entry.sha256, None)
        self._with_partial.discard(job.entry.sha256)
        for follower in job.followers:
            follower.copy_of = copied_from
            self._queued.append(follower)

    def _error_of(self, problem: OSError, path: str) -> CxrsyncError:
        """Return the error of one file for an OSError. Raises: LockLost, DiskError."""
        self._sync.partitions.check([partition_of(path)])
        if error := disk_error(problem, f"cannot write {path}"):
            raise error
        return CxrsyncError(f"cannot write: {reason_of(problem)}")

    async def close(self) -> None:
        """Save and close the partials of all running transfers; ignore their errors."""
        partials = [transfer.partial for transfer in self._jobs]
        self._jobs.clear()
        await save_and_close(partials)
