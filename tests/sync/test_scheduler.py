"""The outcome of each file of a run, from a scripted source to final names on a real disk."""

import asyncio
import errno
import hashlib
import os
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from cxrsync.catalog.load import dataset_info
from cxrsync.config.job import TransferLimits
from cxrsync.dataset.target import Target
from cxrsync.errors import DiskError, Interrupted, InvalidResponse, NotFound
from cxrsync.events import Event, FileDone, Received
from cxrsync.model import DigestMismatch, Entry, Outcome, RemotePath, Result
from cxrsync.sources.base import Answer, Opened
from cxrsync.storage.partial import Partial
from cxrsync.storage.trash import Trash
from cxrsync.storage.tree import Tree
from cxrsync.sync.adopt import Adopter
from cxrsync.sync.outcome_log import OutcomeLog
from cxrsync.sync.partitions import Partitions
from cxrsync.sync.publisher import Publisher
from cxrsync.sync.scheduler import Scheduler
from cxrsync.sync.sync_context import SyncContext
from cxrsync.threads import Writers
from cxrsync.transfer import retry_policy
from cxrsync.transfer.budget import Budget
from cxrsync.transfer.pool import TransferPool
from cxrsync.transfer.source_limits import LimitsOfSources
from cxrsync.transfer.transfer_context import TransferContext

BYTES = bytes(range(250)) * 8
MTIME = 1.6e9
A, B, C = (f"files/p10/{name}.jpg" for name in "abc")


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class ScriptedSource:
    """A source of a few files. ``scripts``: the next responses for a path, or their errors."""

    files: dict[str, bytes]
    scripts: dict[str, deque[bytes | Exception]] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    identity: str = "test:"

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def requests(self) -> int:
        return len(self.asked)

    def times(self, path: str) -> int:
        return [asked for asked, _start in self.asked].count(path)

    @asynccontextmanager
    async def open(
        self,
        ref: RemotePath,
        start: int = 0,
        stop: int | None = None,
        resume_if: str | None = None,
        skip_if: str | None = None,
    ) -> AsyncIterator[Answer]:
        self.asked.append((ref.path, start))
        self.opened.set()
        await self.gate.wait()
        script = self.scripts.get(ref.path)
        step = script.popleft() if script else self.files.get(ref.path, NotFound("404"))
        if isinstance(step, Exception) and not isinstance(step, Interrupted):
            raise step
        total = len(self.files[ref.path])
        yield Opened(start, total, '"v"', MTIME, self._chunks(ref.path, step, start))

    async def _chunks(self, path: str, step: bytes | Exception, start: int) -> AsyncIterator[bytes]:
        data = step if isinstance(step, bytes) else self.files[path]
        for at in range(start, len(data), 500):
            self.sent[path] += len(data[at : at + 500])
            yield data[at : at + 500]
            if isinstance(step, Exception):
                raise step

    async def versions(self, dataset: str) -> list[str]:
        return []

    async def close(self) -> None: ...


class Run:
    """A run over the files of a source, as ``pull`` makes it."""

    def __init__(self, root: Path, source: ScriptedSource, retries: int = 0) -> None:
        self.tree = Tree(root)
        self.tree.create()
        self.source = source
        self.retries = retries
        self.give_up_after = 60.0
        self.known: dict[str, DigestMismatch] = {}
        self.mismatches: list[DigestMismatch] = []
        self.outcomes: dict[str, Outcome] = {}
        self.events: list[Event] = []
        self.trash = Trash(self.tree, "now")

    def results(self) -> dict[str, Result]:
        return {path: outcome.result for path, outcome in self.outcomes.items()}

    def emit(self, event: Event) -> None:
        assert isinstance(event, FileDone)
        assert event.outcome.path not in self.outcomes  # one outcome a file
        self.outcomes[event.outcome.path] = event.outcome

    def trashed(self) -> list[bytes]:
        return [path.read_bytes() for path in self.trash.folder.rglob("*") if path.is_file()]

    def bytes_of(self, path: str) -> bytes:
        return Path(self.tree.final(path)).read_bytes()

    async def go(
        self,
        entries: list[Entry] | None = None,
        to_hash: tuple[Entry, ...] = (),
        connections: int = 3,
        budget: Budget | None = None,
    ) -> Scheduler:
        if entries is None:
            entries = [Entry(path, sha(data)) for path, data in self.source.files.items()]
        partitions = Partitions(self.tree, ["p10"], "now")
        await partitions.open(0, self.events.append, pytest.fail)

        outcomes = OutcomeLog(self.emit, partitions, len(entries) + 1, frozenset())
        pool = TransferPool()
        limits = TransferLimits(retries=self.retries, give_up_after=self.give_up_after)
        emit = self.events.append
        context = TransferContext(
            self.source,
            limits,
            LimitsOfSources(self.source, limits, emit),
            emit,
            Writers(),
            can_share=pool.notify,
            budget=budget or Budget(),
        )
        publisher = Publisher(self.tree, partitions, self.trash, outcomes, fsync=False)
        target = Target(self.tree, dataset_info("alpha"), "1.0")
        sync = SyncContext(target, partitions, self.trash, outcomes, publisher, pool, context)
        scheduler = Scheduler(sync, partials=partitions.partials(), known=self.known)
        adopter = Adopter(sync, iter(to_hash), scheduler, fsync=True)
        ended: DiskError | None = None
        try:
            async with asyncio.timeout(60), asyncio.TaskGroup() as outer:
                outer.create_task(publisher.run())
                try:
                    await scheduler.serve(iter(entries), connections, [adopter.run])
                except DiskError as problem:
                    ended = problem  # verified files are published first
                await scheduler.close()
                await publisher.close()
        finally:
            await partitions.close()
        if ended is not None:
            raise ended
        self.mismatches = outcomes._mismatches
        return scheduler


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_policy, "_FIRST_BACKOFF", 0.0)


def test_files_get_their_final_names(tmp_path: Path) -> None:
    source = ScriptedSource({A: BYTES, B: b"b", C: b""})
    run = Run(tmp_path, source)
    asyncio.run(run.go())
    assert run.results() == dict.fromkeys([A, B, C], Result.FETCHED)
    for path, data in source.files.items():
        assert run.bytes_of(path) == data
        found = run.tree.find(path)
        assert found is not None
        assert found.mtime_ns == MTIME * 10**9
    assert list((run.tree.partition("p10") / "partial").iterdir()) == []
    assert not run.trash.folder.exists()


@pytest.mark.parametrize("connections", [1, 4])
async def test_one_digest_is_fetched_once(tmp_path: Path, connections: int) -> None:
    paths = [f"files/p10/{number}.jpg" for number in range(5)]
    run = Run(tmp_path, source := ScriptedSource(dict.fromkeys(paths, BYTES)))
    await run.go(connections=connections)
    assert Counter(run.results().values()) == {Result.FETCHED: 1, Result.COPIED: 4}
    assert all(run.bytes_of(path) == BYTES for path in paths)
    # A copy requests its last byte, because it has its own size and time.
    assert (source.sent.total(), source.requests) == (len(BYTES) + 4, 5)


async def test_a_follower_of_a_failed_file_is_fetched(tmp_path: Path) -> None:
    source = ScriptedSource({B: BYTES, C: BYTES})
    run = Run(tmp_path, source)
    await run.go([Entry(path, sha(BYTES)) for path in (A, B, C)])
    assert run.results() == {A: Result.FAILED, B: Result.FETCHED, C: Result.COPIED}
    assert run.outcomes[A].reason == "404"
    assert source.times(A) == 1  # the answer is final


@dataclass(eq=False)
class Held:
    """A transfer and its partial: saved only when ``may_save`` is set."""

    saving: threading.Event = field(default_factory=threading.Event)
    may_save: threading.Event = field(default_factory=threading.Event)
    problem: Exception | None = None
    calls: list[str] = field(default_factory=list)

    @property
    def partial(self) -> Self:
        return self

    def save(self) -> None:
        self.saving.set()
        assert self.may_save.wait(60)
        self.calls.append("save")
        if self.problem is not None:
            raise self.problem

    def close(self) -> None:
        self.calls.append("close")


async def test_whatever_happens_meanwhile_each_partial_is_saved_and_closed(tmp_path: Path) -> None:
    """The publisher meets the full disk, too, and its error cancels the task that closes."""
    scheduler = await Run(tmp_path, ScriptedSource({})).go()
    held = [Held(), Held(problem=OSError(errno.ENOSPC, "full")), Held(problem=DiskError("full"))]
    held.append(Held())
    scheduler._jobs.update(dict.fromkeys(held))  # type: ignore[call-overload]
    closing = asyncio.create_task(scheduler.close())
    await asyncio.to_thread(held[0].saving.wait, 60)
    closing.cancel()
    for each in held:
        each.may_save.set()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert [each.calls for each in held] == [["save", "close"]] * 4


# ── the wrong bytes ────────────────────────────────────────────────────────────────────────────

WRONG = [bytes([number]) * len(BYTES) for number in range(9)]


async def test_a_file_that_is_wrong_once_is_fetched_again(tmp_path: Path) -> None:
    source = ScriptedSource({A: BYTES, B: b"b"}, {A: deque([WRONG[0]])})
    run = Run(tmp_path, source)
    await run.go()
    assert run.results() == {A: Result.FETCHED, B: Result.FETCHED}
    assert run.bytes_of(A) == BYTES
    assert sum(e.count for e in run.events if isinstance(e, Received)) == len(BYTES) + 1


async def test_the_same_wrong_bytes_twice_are_a_mismatch(tmp_path: Path) -> None:
    source = ScriptedSource({A: WRONG[0], B: b"b"})
    run = Run(tmp_path, source)
    entries = [Entry(A, sha(BYTES)), Entry(B, sha(b"b"))]
    await run.go(entries)
    assert run.results() == {A: Result.CONTRADICTED, B: Result.FETCHED}
    mismatch = DigestMismatch(A, sha(BYTES), sha(WRONG[0]), '"v"')
    assert (run.mismatches, source.times(A), run.trashed()) == ([mismatch], 2, [WRONG[0]])
    assert run.tree.find(A) is None
    # A recorded mismatch needs only one more attempt, unless the manifest's digest has changed.
    for expected, times in ((sha(BYTES), 3), (sha(b"new"), 5)):
        run = Run(tmp_path, source)
        run.known = {A: mismatch}
        await run.go([Entry(A, expected)])
        assert (run.results(), source.times(A)) == ({A: Result.CONTRADICTED}, times)


async def test_bytes_that_differ_each_time_fail(tmp_path: Path) -> None:
    source = ScriptedSource({A: BYTES, B: b"b"}, {A: deque(WRONG)})
    run = Run(tmp_path, source)
    await run.go()
    assert run.results() == {A: Result.FAILED, B: Result.FETCHED}
    assert "differently" in run.outcomes[A].reason
    # Three attempts and no second pass: the verdict is final.
    assert source.times(A) == 3
    assert run.tree.find(A) is None


async def test_bytes_of_an_earlier_run_do_not_prove_a_mismatch(
    tmp_path: Path,
) -> None:
    source = ScriptedSource({A: BYTES})
    run = Run(tmp_path, source)
    partial = run.tree.partition("p10") / "partial" / sha(BYTES)
    partial.parent.mkdir(parents=True)
    partial.write_bytes(WRONG[1][:700])
    await run.go()
    assert run.results() == {A: Result.FETCHED}
    assert run.outcomes[A].resumed == 0
    assert run.bytes_of(A) == BYTES


# ── another pass ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("connections", [1, 3])
async def test_passes_follow_until_one_fetches_nothing(tmp_path: Path, connections: int) -> None:
    source = ScriptedSource({A: b"a", B: b"b", C: b"c"})
    for path, failures in ((A, 99), (B, 1), (C, 2)):
        source.scripts[path] = deque([InvalidResponse("500")] * failures)
    run = Run(tmp_path, source)
    await run.go(connections=connections)
    assert run.results() == {A: Result.FAILED, B: Result.FETCHED, C: Result.FETCHED}
    assert run.outcomes[A].reason == "500"
    # The second pass gains B, the third C, the fourth nothing.
    assert [source.times(path) for path in (A, B, C)] == [4, 2, 3]


async def test_another_pass_resumes_the_partial(tmp_path: Path) -> None:
    source = ScriptedSource({A: BYTES, B: b"b"}, {A: deque([Interrupted("cut")])})
    run = Run(tmp_path, source)
    await run.go()
    assert run.results() == {A: Result.FETCHED, B: Result.FETCHED}
    assert [start for path, start in source.asked if path == A] == [0, 500]
    assert source.sent[A] == len(BYTES)


async def test_a_limit_on_files(tmp_path: Path) -> None:
    run = Run(tmp_path, ScriptedSource({A: BYTES, B: b"b", C: b"c"}))
    assert (await run.go(budget=Budget(max_files=2))).stopped_at_limit
    assert len(run.results()) == 2


# ── the disk ───────────────────────────────────────────────────────────────────────────────────


async def test_a_name_too_long_for_the_disk_fails_only_its_file(tmp_path: Path) -> None:
    long = "files/p10/" + "n" * 300
    run = Run(tmp_path, ScriptedSource({A: b"a", long: b"long", C: b"c"}))
    await run.go()
    assert run.results() == {A: Result.FETCHED, long: Result.FAILED, C: Result.FETCHED}
    assert os.strerror(errno.ENAMETOOLONG) in run.outcomes[long].reason


@pytest.mark.parametrize(("code", "ends"), [(errno.ENOSPC, True), (errno.EPERM, False)])
async def test_a_disk_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, ends: bool
) -> None:
    original = Partial.write

    def write(partial: Partial, offset: int, chunks: list[bytes], generation: int) -> bool:
        if partial.unclaimed_path.name == sha(b"b"):
            raise OSError(code, os.strerror(code))
        return original(partial, offset, chunks, generation)

    monkeypatch.setattr(Partial, "write", write)
    run = Run(tmp_path, ScriptedSource({A: b"a", B: b"b", C: b"c"}))
    results = {A: Result.FETCHED}  # a file that was verified before is published in any case
    if ends:
        with pytest.raises(DiskError, match=os.strerror(code)):
            await run.go(connections=1)
    else:
        await run.go(connections=1)
        results |= {B: Result.FAILED, C: Result.FETCHED}
    assert run.results() == results
    assert run.bytes_of(A) == b"a"


async def test_a_short_file_is_continued(tmp_path: Path) -> None:
    source = ScriptedSource({A: BYTES})
    run = Run(tmp_path, source)
    run.tree.make_parent(A)
    Path(run.tree.final(A)).write_bytes(BYTES[:1200])
    await run.go([], to_hash=(Entry(A, sha(BYTES)),))
    assert run.results() == {A: Result.FETCHED}
    assert (run.outcomes[A].resumed, source.sent[A]) == (1200, len(BYTES) - 1200 + 1)
    assert run.bytes_of(A) == BYTES


async def test_a_wrong_file_is_not_used_by_a_running_transfer_of_its_digest(tmp_path: Path) -> None:
    """B is wrong on the disk; hashing finds that while A, with the same digest, is transferred."""
    source = ScriptedSource({A: BYTES, B: BYTES})
    run = Run(tmp_path, source)
    run.tree.make_parent(B)
    Path(run.tree.final(B)).write_bytes(WRONG[0])
    entry = Entry(B, sha(BYTES))
    source.gate.clear()
    task = asyncio.create_task(run.go([Entry(A, sha(BYTES))], to_hash=(entry,)))
    await source.opened.wait()
    source.gate.set()
    await task
    assert run.bytes_of(A) == run.bytes_of(B) == BYTES
    assert run.trashed() == [WRONG[0]]
