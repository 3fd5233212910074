"""What each connection does next, and what becomes of each file."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from cxrsync.errors import AccessDenied, Corrupted, CxrsyncError, NotFound, unwrapped
from cxrsync.model import DigestMismatch, Entry, Outcome, Result, partition_of
from cxrsync.sanitize import reason_of
from cxrsync.storage.executors import run_in_thread
from cxrsync.storage.filesystem import disk_error
from cxrsync.storage.partial import Partial
from cxrsync.storage.publish import VerifiedFile, continue_short_file, copy_published
from cxrsync.sync.context import SyncContext
from cxrsync.sync.mismatch import Observation, Verdict, judge
from cxrsync.sync.publisher import PublishItem
from cxrsync.transfer.options import TransferOptions
from cxrsync.transfer.segments import Segment
from cxrsync.transfer.transfer import Transfer

Produce = Callable[[], Coroutine[None, None, None]]
"""Work beside the connections that may add files to the queue."""


@dataclass(slots=True)
class FileJob:
    """One file to bring. ``short``: what stands under its final name is wrong, perhaps the file's
    beginning; ``copy_of``: the path of a published file with the same digest, whose bytes need not
    be fetched again; its own size and time are still asked for."""

    entry: Entry
    short: bool = False
    copy_of: str | None = None
    seen: list[Observation] = field(default_factory=list)
    followers: list[FileJob] = field(default_factory=list)


class Scheduler:
    """The files of one sync: taken up in order, several at a time, each until it has an outcome.

    Entries are read as connections become free, never ahead of them. ``partials``: the digests of
    which earlier runs left bytes; ``known``: the mismatches that earlier runs found, by path;
    ``max_files``: so many files are begun, and no more.
    """

    def __init__(
        self,
        sync: SyncContext,
        *,
        partials: set[str],
        known: Mapping[str, DigestMismatch],
        max_files: int | None = None,
    ) -> None:
        self._sync = sync
        self._partials = partials
        self._known = known
        self._left = max_files
        self._entries: Iterator[Entry] = iter(())
        self._late: deque[FileJob] = deque()
        self._jobs: dict[Transfer, FileJob] = {}
        # By digest, until published: one transfer a digest at a time.
        self._by_digest: dict[str, FileJob] = {}
        self._copies: set[str] = set()
        self._another_pass: list[FileJob] = []
        # Files whose retries are spent, and why; they may get another pass.
        self._spent: dict[str, str] = {}
        self._gained = True
        self._producers = 0
        self.stopped_at_limit = False
        sync.outcomes.on_published(self.published)

    async def serve(
        self, entries: Iterator[Entry], connections: int, producers: Sequence[Produce] = ()
    ) -> None:
        """Fetch every entry over so many connections, while the producers :meth:`add` more files.
        Raises what ends the run."""
        self._entries = entries
        with unwrapped():
            async with asyncio.TaskGroup() as serving:
                for _ in range(connections):
                    serving.create_task(self.connection())
                # Before the first task runs: a connection that finds nothing to do leaves.
                with self.producing():
                    async with asyncio.TaskGroup() as adding:
                        for produce in producers:
                            adding.create_task(produce())

    @contextmanager
    def producing(self) -> Iterator[None]:
        """As long as somebody is in here files may be added, and no connection leaves.

        Enter it before the job that adds them is made: not in the job, which may begin late.
        """
        self._producers += 1
        try:
            yield
        finally:
            self._producers -= 1
            self._sync.pool.notify()

    def add(self, job: FileJob) -> None:
        """One more file to bring, ahead of the others: found wrong or short while hashing."""
        self._late.append(job)
        self._sync.pool.notify()

    # ── connections ────────────────────────────────────────────────────────────────────────────

    async def connection(self) -> None:
        """One connection's working life. Raises what ends the run."""
        while True:
            taken = self._sync.pool.free_segment()
            if taken is None:
                job = self._next_job()
                if job is not None:
                    await self._begin(job)
                    continue
                taken = self._sync.pool.shared_segment()
            if taken is not None:
                await self._work(*taken)
            elif self._over():
                self._sync.pool.notify()
                return
            elif self._late:  # another pass begins, for every connection
                self._sync.pool.notify()
            else:
                if not len(self._sync.pool):
                    self._sync.publisher.flush()
                await self._sync.pool.wait_for_work()

    async def _work(self, transfer: Transfer, segment: Segment) -> None:
        try:
            await transfer.fetch(segment)
        except OSError as problem:
            transfer.failure = self._error_of(problem, transfer.ref.path)
        if transfer.finished and transfer in self._jobs:
            await self._settle(transfer)
        self._sync.pool.notify()

    def _next_job(self) -> FileJob | None:
        if self._late:
            return self._late.popleft()
        if self._left == 0:
            self.stopped_at_limit = self.stopped_at_limit or next(self._entries, None) is not None
            return None
        entry = next(self._entries, None)
        if entry is None:
            return None
        if self._left is not None:
            self._left -= 1
        return FileJob(entry)

    def _over(self) -> bool:
        if self._by_digest or self._copies or self._late or self._producers:
            return False
        if self._another_pass and self._gained:
            # One more pass over what failed, until a pass gains nothing.
            self._gained = False
            self._late.extend(FileJob(job.entry, short=job.short) for job in self._another_pass)
            self._another_pass.clear()
            return False
        self.fail_spent()
        return True

    def fail_spent(self) -> None:
        """No pass will follow: files whose retries are spent have failed."""
        self._another_pass.clear()
        spent, self._spent = self._spent, {}
        for path, reason in spent.items():
            self._sync.outcomes.failed(Outcome(path, Result.FAILED, reason=reason))

    # ── a file's beginning and end ─────────────────────────────────────────────────────────────

    async def _begin(self, job: FileJob) -> None:
        entry = job.entry
        if job.copy_of is not None:
            # Several paths may copy one digest at a time: each has a partial of its own.
            partial = self._sync.partitions.copy(entry)
            self._copies.add(entry.path)
        elif entry.sha256 in self._by_digest:
            self._by_digest[entry.sha256].followers.append(job)
            return
        else:
            partial = self._sync.partitions.partial(entry)
            self._by_digest[entry.sha256] = job
        maybe_there = bool(job.short or job.copy_of or entry.sha256 in self._partials)
        known = None if maybe_there else self._known_mismatch(entry)
        transfer = Transfer(
            self._sync.context,
            self._sync.target.remote(entry.path),
            partial,
            TransferOptions(
                # Of a file that is known to be wrong only this is asked: is it another one by now?
                skip_if=(known.validator or None) if known is not None else None,
                set_aside=self._set_aside(entry) if job.copy_of is None else None,
            ),
        )
        try:
            if job.copy_of is not None:
                original = self._sync.target.tree.final(job.copy_of)
                await run_in_thread(lambda: copy_published(original, partial))
            elif job.short:
                # Only here, where the digest is ours: another path's transfer may have had it.
                begun = self._sync.partitions.partial(entry)
                with suppress(FileNotFoundError):
                    await run_in_thread(
                        lambda: continue_short_file(
                            self._sync.target.tree, entry, begun, self._sync.trash
                        )
                    )
            await transfer.begin(load=maybe_there)
        except OSError as problem:
            self._give_up(job, self._error_of(problem, entry.path))
            return
        self._jobs[transfer] = job
        self._sync.pool.add(transfer)
        if transfer.finished:  # all bytes were there already
            await self._settle(transfer)

    def _known_mismatch(self, entry: Entry) -> DigestMismatch | None:
        """What an earlier run found of the file, if the manifest still says the same of it."""
        known = self._known.get(entry.path)
        return known if known is not None and known.expected == entry.sha256 else None

    def _set_aside(self, entry: Entry) -> Callable[[Partial], None]:
        return lambda partial: self._sync.trash.move_partial(partial, entry.path)

    async def _settle(self, transfer: Transfer) -> None:
        """Nobody is at work on it any more: it is right, wrong or lost."""
        job = self._jobs.pop(transfer)
        self._sync.pool.remove(transfer)
        partial = transfer.partial
        try:
            if transfer.failure is not None:
                await run_in_thread(partial.save)
                partial.close()
                self._give_up(job, transfer.failure)
                return
            if transfer.unchanged:
                partial.close()
                self._mismatched(job, self._known[job.entry.path])
                return
            digest = partial.digest() if partial.hashed else await run_in_thread(partial.digest)
            if digest == job.entry.sha256:
                copied = job.copy_of is not None
                resumed = 0 if copied else transfer.resumed
                await self._sync.publisher.submit(
                    PublishItem(VerifiedFile(job.entry, partial), resumed, copied)
                )
                return
            await self._judge(job, transfer, digest)
        except OSError as problem:
            partial.close()
            self._give_up(job, self._error_of(problem, job.entry.path))

    async def _judge(self, job: FileJob, transfer: Transfer, digest: str) -> None:
        entry = job.entry
        job.seen.append(Observation(digest, whole=transfer.resumed == 0))
        known = self._known_mismatch(entry)
        verdict = judge(job.seen, known.observed if known is not None else None)
        if verdict is Verdict.AGAIN:
            await transfer.restart(transfer.partial.generation)
            self._jobs[transfer] = job
            self._sync.pool.add(transfer)
            return
        binding = transfer.partial.object_version
        validator = (binding.validator if binding else None) or ""
        size = transfer.partial.size
        await run_in_thread(lambda: self._sync.trash.move_partial(transfer.partial, entry.path))
        if verdict is Verdict.CORRUPTED:
            self._give_up(job, Corrupted("its bytes arrive differently each time"))
            return
        self._mismatched(job, DigestMismatch(entry.path, entry.sha256, digest, validator), size)

    def _mismatched(self, job: FileJob, found: DigestMismatch, size: int = 0) -> None:
        self._release(job, copied_from=None)
        self._spent.pop(found.path, None)
        reason = (
            f"the source's copy has the SHA-256 {found.observed}, published is {found.expected}"
        )
        self._sync.outcomes.mismatched(
            found, Outcome(found.path, Result.CONTRADICTED, size, reason=reason)
        )

    def _give_up(self, job: FileJob, problem: CxrsyncError) -> None:
        self._release(job, copied_from=None)
        self._partials.add(job.entry.sha256)  # what has arrived of it is gone on with
        if isinstance(problem, NotFound | AccessDenied | Corrupted):
            # An answer, not an accident: asking again would not change it.
            self._spent.pop(job.entry.path, None)
            self._sync.outcomes.failed(Outcome(job.entry.path, Result.FAILED, reason=str(problem)))
        else:
            self._spent[job.entry.path] = str(problem)
            self._another_pass.append(job)

    def published(self, entry: Entry, outcome: Outcome) -> None:
        """The publication has done with a file."""
        self._spent.pop(entry.path, None)
        if entry.path in self._copies:
            self._copies.discard(entry.path)
            self._sync.pool.notify()
            return
        job = self._by_digest.get(entry.sha256)
        if job is not None and job.entry.path == entry.path:
            failed = outcome.result is Result.FAILED
            self._gained = self._gained or not failed
            self._release(job, copied_from=None if failed else entry.path)
        self._sync.pool.notify()

    def _release(self, job: FileJob, copied_from: str | None) -> None:
        """The digest is free again: those who waited for it take it up."""
        if job.copy_of is not None:
            self._copies.discard(job.entry.path)
            return
        self._by_digest.pop(job.entry.sha256, None)
        self._partials.discard(job.entry.sha256)
        for follower in job.followers:
            follower.copy_of = copied_from
            self._late.append(follower)

    def _error_of(self, problem: OSError, path: str) -> CxrsyncError:
        """The error of one file. Raises LockLost where another run has taken its bytes, DiskError
        where it is the whole disk's."""
        self._sync.partitions.check([partition_of(path)])
        error = disk_error(problem, f"cannot write {path}")
        if error is not None:
            raise error
        return CxrsyncError(f"cannot write: {reason_of(problem)}")

    async def close(self) -> None:
        """Write down what is in flight, as far as the disk lets us, and let it go."""
        for transfer in self._jobs:
            with suppress(OSError):  # the bytes are there, and what ended the run is known
                await run_in_thread(transfer.partial.save)
            with suppress(OSError):
                transfer.partial.close()
        self._jobs.clear()
