"""What each connection does next, and what becomes of each file."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from cxrsync.errors import AccessDenied, Corrupted, CxrsyncError, NotFound, unwrapped
from cxrsync.model import DigestMismatch, Entry, Outcome, RemotePath, Result, partition_of
from cxrsync.sanitize import reason_of
from cxrsync.storage.executors import run_in_thread
from cxrsync.storage.filesystem import disk_error
from cxrsync.storage.partial import Partial
from cxrsync.storage.publish import VerifiedFile, continue_short_file, copy_published
from cxrsync.storage.trash import Trash
from cxrsync.storage.tree import Tree
from cxrsync.sync.mismatch import Observation, Verdict, judge
from cxrsync.sync.partitions import Partitions
from cxrsync.sync.publisher import Publisher, PublishItem
from cxrsync.transfer.context import TransferContext
from cxrsync.transfer.pool import TransferPool
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
    """The files of one run: taken up in order, several at a time, each to one Outcome.

    ``entries`` is read as connections become free, never ahead of them. ``fail`` and
    ``contradict`` are told of files that do not arrive; the others go to ``publication``.
    """

    def __init__(
        self,
        line: TransferContext,
        pool: TransferPool,
        tree: Tree,
        version: tuple[str, str],
        entries: Iterator[Entry],
        partitions: Partitions,
        publisher: Publisher,
        *,
        trash: Trash,
        partials: set[str],
        known: dict[str, DigestMismatch],
        fail: Callable[[Outcome], None],
        contradict: Callable[[DigestMismatch, Outcome], None],
        most_files: int | None = None,
    ) -> None:
        self._line = line
        self._pool = pool
        self._tree = tree
        self._version = version
        self._entries = entries
        self._partitions = partitions
        self._publisher = publisher
        self._trash = trash
        self._partials = partials
        self._known = known
        self._fail = fail
        self._contradict = contradict
        self._left = most_files
        self._late: deque[FileJob] = deque()
        self._tasks: dict[Transfer, FileJob] = {}
        # By digest, until published: one transfer a digest at a time.
        self._by_digest: dict[str, FileJob] = {}
        self._copies: set[str] = set()
        self._another_pass: list[FileJob] = []
        # Files whose retries are spent, and why; they may get another pass.
        self._spent: dict[str, str] = {}
        self._gained = True
        self._producers = 0
        self.stopped_at_limit = False

    async def serve(self, connections: int, producers: Sequence[Produce] = ()) -> None:
        """Bring every file over so many connections, while the producers :meth:`add` more.
        Raises what ends the run."""
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

        Enter it before the task that adds them is made: not in the task, which may begin late.
        """
        self._producers += 1
        try:
            yield
        finally:
            self._producers -= 1
            self._pool.notify()

    def add(self, task: FileJob) -> None:
        """One more file to bring, ahead of the others: found wrong or short while hashing."""
        self._late.append(task)
        self._pool.notify()

    # ── connections ────────────────────────────────────────────────────────────────────────────

    async def connection(self) -> None:
        """One connection's working life. Raises what ends the run."""
        while True:
            taken = self._pool.free_segment()
            if taken is None:
                task = self._next_task()
                if task is not None:
                    await self._begin(task)
                    continue
                taken = self._pool.shared_segment()
            if taken is not None:
                await self._work(*taken)
            elif self._over():
                self._pool.notify()
                return
            elif self._late:  # another pass begins, for every connection
                self._pool.notify()
            else:
                if not len(self._pool):
                    self._publisher.flush()
                await self._pool.wait_for_work()

    async def _work(self, transfer: Transfer, segment: Segment) -> None:
        try:
            await transfer.fetch(segment)
        except OSError as problem:
            transfer.failed = self._disk_trouble(problem, transfer.ref.path)
        if transfer.over and transfer in self._tasks:
            await self._settle(transfer)
        self._pool.notify()

    def _next_task(self) -> FileJob | None:
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
            self._late.extend(FileJob(task.entry, short=task.short) for task in self._another_pass)
            self._another_pass.clear()
            return False
        self.fail_spent()
        return True

    def fail_spent(self) -> None:
        """No pass will follow: files whose retries are spent have failed."""
        self._another_pass.clear()
        spent, self._spent = self._spent, {}
        for path, reason in spent.items():
            self._fail(Outcome(path, Result.FAILED, reason=reason))

    # ── a file's beginning and end ─────────────────────────────────────────────────────────────

    async def _begin(self, task: FileJob) -> None:
        entry = task.entry
        if task.copy_of is not None:
            # Several paths may copy one digest at a time: each has a partial of its own.
            partial = self._partitions.copy(entry)
            self._copies.add(entry.path)
        elif entry.sha256 in self._by_digest:
            self._by_digest[entry.sha256].followers.append(task)
            return
        else:
            partial = self._partitions.partial(entry)
            self._by_digest[entry.sha256] = task
        maybe_there = bool(task.short or task.copy_of or entry.sha256 in self._partials)
        known = None if maybe_there else self._standing(entry)
        transfer = Transfer(
            self._line,
            RemotePath(*self._version, entry.path),
            partial,
            # Of a file that is known to be wrong only this is asked: is it another one by now?
            skip_if=(known.validator or None) if known is not None else None,
            set_aside=self._aside(entry) if task.copy_of is None else None,
        )
        try:
            if task.copy_of is not None:
                original = self._tree.final(task.copy_of)
                await run_in_thread(lambda: copy_published(original, partial))
            elif task.short:
                # Only here, where the digest is ours: another path's transfer may have had it.
                begun = self._partitions.partial(entry)
                with suppress(FileNotFoundError):
                    await run_in_thread(
                        lambda: continue_short_file(self._tree, entry, begun, self._trash)
                    )
            await transfer.begin(maybe_there=maybe_there)
        except OSError as problem:
            self._give_up(task, self._disk_trouble(problem, entry.path))
            return
        self._tasks[transfer] = task
        self._pool.add(transfer)
        if transfer.over:  # all bytes were there already
            await self._settle(transfer)

    def _standing(self, entry: Entry) -> DigestMismatch | None:
        """What an earlier run found of the file, if the manifest still says the same of it."""
        known = self._known.get(entry.path)
        return known if known is not None and known.expected == entry.sha256 else None

    def _aside(self, entry: Entry) -> Callable[[Partial], None]:
        return lambda partial: self._trash.take_partial(partial, entry.path)

    async def _settle(self, transfer: Transfer) -> None:
        """Nobody is at work on it any more: it is right, wrong or lost."""
        task = self._tasks.pop(transfer)
        self._pool.remove(transfer)
        partial = transfer.partial
        try:
            if transfer.failed is not None:
                await run_in_thread(partial.save)
                partial.close()
                self._give_up(task, transfer.failed)
                return
            if transfer.unchanged:
                partial.close()
                self._contradicted(task, self._known[task.entry.path])
                return
            digest = partial.digest() if partial.hashed else await run_in_thread(partial.digest)
            if digest == task.entry.sha256:
                copied = task.copy_of is not None
                resumed = 0 if copied else transfer.resumed
                await self._publisher.submit(
                    PublishItem(VerifiedFile(task.entry, partial), resumed, copied)
                )
                return
            await self._judge(task, transfer, digest)
        except OSError as problem:
            partial.close()
            self._give_up(task, self._disk_trouble(problem, task.entry.path))

    async def _judge(self, task: FileJob, transfer: Transfer, digest: str) -> None:
        entry = task.entry
        task.seen.append(Observation(digest, whole=transfer.resumed == 0))
        known = self._standing(entry)
        verdict = judge(task.seen, known.observed if known is not None else None)
        if verdict is Verdict.AGAIN:
            await transfer.restart(transfer.partial.generation)
            self._tasks[transfer] = task
            self._pool.add(transfer)
            return
        binding = transfer.partial.binding
        validator = (binding.validator if binding else None) or ""
        size = transfer.partial.size
        await run_in_thread(lambda: self._trash.take_partial(transfer.partial, entry.path))
        if verdict is Verdict.CORRUPTED:
            self._give_up(task, Corrupted("its bytes arrive differently each time"))
            return
        self._contradicted(task, DigestMismatch(entry.path, entry.sha256, digest, validator), size)

    def _contradicted(self, task: FileJob, found: DigestMismatch, size: int = 0) -> None:
        self._release(task, copied_from=None)
        self._spent.pop(found.path, None)
        reason = (
            f"the source's copy has the SHA-256 {found.observed}, published is {found.expected}"
        )
        self._contradict(found, Outcome(found.path, Result.CONTRADICTED, size, reason=reason))

    def _give_up(self, task: FileJob, problem: CxrsyncError) -> None:
        self._release(task, copied_from=None)
        self._partials.add(task.entry.sha256)  # what has arrived of it is gone on with
        if isinstance(problem, NotFound | AccessDenied | Corrupted):
            # An answer, not an accident: asking again would not change it.
            self._spent.pop(task.entry.path, None)
            self._fail(Outcome(task.entry.path, Result.FAILED, reason=str(problem)))
        else:
            self._spent[task.entry.path] = str(problem)
            self._another_pass.append(task)

    def published(self, entry: Entry, outcome: Outcome) -> None:
        """The publication has done with a file."""
        self._spent.pop(entry.path, None)
        if entry.path in self._copies:
            self._copies.discard(entry.path)
            self._pool.notify()
            return
        task = self._by_digest.get(entry.sha256)
        if task is not None and task.entry.path == entry.path:
            failed = outcome.result is Result.FAILED
            self._gained = self._gained or not failed
            self._release(task, copied_from=None if failed else entry.path)
        self._pool.notify()

    def _release(self, task: FileJob, copied_from: str | None) -> None:
        """The digest is free again: those who waited for it take it up."""
        if task.copy_of is not None:
            self._copies.discard(task.entry.path)
            return
        self._by_digest.pop(task.entry.sha256, None)
        self._partials.discard(task.entry.sha256)
        for follower in task.followers:
            follower.copy_of = copied_from
            self._late.append(follower)

    def _disk_trouble(self, problem: OSError, path: str) -> CxrsyncError:
        """The error of one file. Raises LockLost where another run has taken its bytes, DiskError
        where it is the whole disk's."""
        self._partitions.check([partition_of(path)])
        error = disk_error(problem, f"cannot write {path}")
        if error is not None:
            raise error
        return CxrsyncError(f"cannot write: {reason_of(problem)}")

    async def close(self) -> None:
        """Write down what is in flight, as far as the disk lets us, and let it go."""
        for transfer in self._tasks:
            with suppress(OSError):  # the bytes are there, and what ended the run is known
                await run_in_thread(transfer.partial.save)
            with suppress(OSError):
                transfer.partial.close()
        self._tasks.clear()
