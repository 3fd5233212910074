"""One file through everything that a line and a server can do to it; the disk is real."""

import asyncio
import hashlib
import json
import random
import tempfile
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrsync.config.job import TransferLimits
from cxrsync.errors import (
    AccessDenied,
    CredentialsRefused,
    ExitCode,
    Interrupted,
    InvalidResponse,
    NotFound,
    Throttled,
    Unreachable,
)
from cxrsync.events import Event, Received
from cxrsync.model import RemotePath
from cxrsync.sources.base import Answer, End, Opened, PastEnd, Unchanged
from cxrsync.storage import executors
from cxrsync.storage.partial import Partial
from cxrsync.storage.sidecar import ObjectVersion
from cxrsync.transfer import retry_policy, segments
from cxrsync.transfer import transfer as module
from cxrsync.transfer.circuit_breaker import CircuitBreaker
from cxrsync.transfer.concurrency import ConcurrencyLimiter
from cxrsync.transfer.context import TransferContext
from cxrsync.transfer.options import TransferOptions
from cxrsync.transfer.pool import TransferPool, fetch_alone
from cxrsync.transfer.rate_limit import RateLimiter
from cxrsync.transfer.transfer import Transfer

DATA = random.Random(7).randbytes(3000)
REF = RemotePath("alpha", "1.0", "files/p10/one.jpg")
RETRIES = 3
SAME: Any = object()


@dataclass
class Scripted:
    """A source that plays a script, one step a request, and then does as ``ever`` does."""

    data: bytes
    steps: deque["Step"] = field(default_factory=deque)
    asked: list[tuple[int, int | None, str | None]] = field(default_factory=list)
    sent: int = 0
    ever: "Step" = field(default_factory=lambda: Give())
    identity: str = "test:"

    @property
    def requests(self) -> int:
        return len(self.asked)

    @asynccontextmanager
    async def open(
        self,
        ref: RemotePath,
        start: int = 0,
        stop: int | None = None,
        resume_if: str | None = None,
        skip_if: str | None = None,
    ) -> AsyncIterator[Answer]:
        assert ref == REF
        assert stop is None or start < stop
        self.asked.append((start, stop, resume_if))
        step = self.steps.popleft() if self.steps else self.ever
        answer = step(self, start, stop) if callable(step) else step
        if isinstance(answer, Exception):
            raise answer
        yield answer

    async def versions(self, dataset: str) -> list[str]:
        return []

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Give:
    """The bytes that were asked for, with one thing or another wrong about them."""

    whole: bool = False
    shift: int = 0
    total: int | None = SAME
    validator: str | None = '"v1"'
    cut: int | None = None
    then: Exception | None = Interrupted("cut")  # noqa: RUF009 - never changed
    more: bytes = b""
    size: int = 100
    end: End | None = None

    def __call__(self, source: Scripted, start: int, stop: int | None) -> Opened | PastEnd:
        if start and start >= len(source.data):
            return PastEnd(len(source.data))
        begin = 0 if self.whole else start + self.shift
        body = source.data[begin : None if self.whole else stop] + self.more
        total = len(source.data) if self.total is SAME else self.total
        return Opened(begin, total, self.validator, 1.5e9, self._chunks(source, body), self.end)

    async def _chunks(self, source: Scripted, body: bytes) -> AsyncIterator[bytes]:
        end = len(body) if self.cut is None else min(self.cut, len(body))
        for at in range(0, end, self.size):
            await asyncio.sleep(0)
            chunk = body[at : min(at + self.size, end)]
            source.sent += len(chunk)
            yield chunk
        if self.cut is not None and self.then is not None:
            raise self.then


Step = Answer | Exception | Callable[[Scripted, int, int | None], Answer]


@dataclass
class Stage:
    """A line to ``source``, and one file's way over it."""

    folder: Path
    source: Scripted
    events: list[Event] = field(default_factory=list)
    probe: Callable[[], Coroutine[Any, Any, None]] | None = None
    patience: float = 60.0

    def __post_init__(self) -> None:
        self.pool = TransferPool()
        emit = self.events.append
        limits = TransferLimits(retries=RETRIES, give_up_after=self.patience)
        limiter = ConcurrencyLimiter(limits, emit)
        circuit_breaker = CircuitBreaker(self.patience, emit, limiter)
        self.context = TransferContext(
            self.source, limits, circuit_breaker, emit, limiter, self.probe, self.pool.notify
        )

    async def fetch(self, connections: int = 1, resumed: bool = False, **more: Any) -> Transfer:
        partial = Partial(self.folder, "digest", proved=more.get("by_digest", True))
        transfer = Transfer(self.context, REF, partial, TransferOptions(**more))
        async with asyncio.timeout(5):
            await transfer.begin(load=resumed)
            await fetch_alone(self.pool, transfer, connections)
        assert transfer.finished
        assert len(self.pool) == 0
        return transfer

    @property
    def received(self) -> int:
        return sum(event.count for event in self.events if isinstance(event, Received))

    def assert_right(self, transfer: Transfer) -> None:
        assert transfer.failure is None
        assert transfer.complete
        partial = transfer.partial
        assert partial.digest() == hashlib.sha256(self.source.data).hexdigest()
        assert partial.path.read_bytes() == self.source.data
        assert partial.total == len(self.source.data)
        assert self.received == len(self.source.data) - transfer.resumed
        partial.close()


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_policy, "_FIRST_PAUSE", 0.0)
    monkeypatch.setattr(module, "HANDOVER_BYTES", 250)
    for room in (module, segments):
        monkeypatch.setattr(room, "MIN_SHARE", 300)
    monkeypatch.setattr(segments, "_ALIGN", 1)


def staged(folder: Path, *steps: Step, **more: Any) -> Stage:
    return Stage(folder, Scripted(DATA, deque(steps)), **more)


CUT = Give(cut=700)


@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize(
    "steps",
    [
        [], [CUT], [Give(cut=0)],
        [Give(cut=130)] * 20,  # what arrives refills the budget
        [CUT, Give(cut=0), Give(cut=0)],
        [Give(cut=0, then=None)], [Give(cut=700, then=None), Give(cut=50, then=None)],
        [Give(more=b"x" * 500)], [CUT, Give(more=b"x" * 500)],
        [CUT, Give(whole=True)], [CUT, Give(whole=True, cut=400)],
        # Once it is another file it stays that, whichever connection asks next.
        [CUT, Give(whole=True, validator='"v2"', cut=400), *[Give(validator='"v2"')] * 9],
        [CUT, Give(shift=7)], [CUT, Give(shift=-7)],
        [CUT, Give(total=2999)], [CUT, Give(total=10**9)], [Give(total=9999)],
        [CUT, Give(validator='"v2"')], [Give(cut=700, validator=None), Give(validator=None)],
        *([CUT, PastEnd(total)] for total in (None, 700, len(DATA), 10**12)),
        [Give(total=None)], [Give(total=None, cut=700)], [CUT, Give(total=None)],
        [Give(total=None, cut=700), Give(total=None)],
        [Throttled("later")], [InvalidResponse("500")] * RETRIES,
        [CUT, Throttled("later", after=0.0), Unreachable("gone"), Unreachable("gone")],
    ],
)  # fmt: skip
async def test_the_bytes_are_right(tmp_path: Path, steps: list[Step], connections: int) -> None:
    stage = staged(tmp_path, *steps)
    transfer = await stage.fetch(connections)
    stage.assert_right(transfer)
    restarts = (
        transfer.partial.generation
    )  # also one that gave up bytes which nobody had counted yet
    assert restarts <= 1
    assert stage.source.requests <= len(steps) + 3 * connections
    assert stage.source.sent <= len(DATA) * (1 + restarts) + 500 + 100 * connections


def no_ranges(source: Scripted, start: int, stop: int | None) -> Answer:
    return PastEnd(None) if start or stop else CUT(source, 0, None)


def other_tag(source: Scripted, start: int, stop: int | None) -> Answer:
    return Give(cut=700, validator=f'"{source.requests}"')(source, start, stop)


def other_total(source: Scripted, start: int, stop: int | None) -> Answer:
    return Give(cut=700, total=9000 + source.requests, validator=None)(source, start, stop)


@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize(
    "ever",
    [
        Give(cut=0), Give(cut=0, then=None), Give(shift=5), InvalidResponse("always"),
        # What arrives is given up again, and must not refill the budget for ever.
        no_ranges, other_total,
        Give(whole=True, cut=700), Give(whole=True, validator=None, cut=700),
    ],
)  # fmt: skip
async def test_what_never_gets_better_fails(tmp_path: Path, ever: Step, connections: int) -> None:
    stage = staged(tmp_path)
    stage.source.ever = ever
    transfer = await stage.fetch(connections)
    assert transfer.failure is not None
    assert stage.source.requests <= 6 * (RETRIES + 1)
    assert stage.received == transfer.partial.size


@pytest.mark.parametrize("connections", [1, 3])
async def test_a_tag_that_is_new_in_each_answer(tmp_path: Path, connections: int) -> None:
    """As of inodes behind a balancer: in one stream, without If-Range, the digest decides."""
    stage = staged(tmp_path)
    stage.source.ever = other_tag
    transfer = await stage.fetch(connections)
    stage.assert_right(transfer)
    assert stage.source.asked[-1][2] is None
    assert stage.source.sent <= 2 * len(DATA)


async def test_without_a_digest_only_a_strong_tag_joins_two_answers(tmp_path: Path) -> None:
    """The second answer may be of another object: nothing would tell."""
    untagged = Give(cut=700, validator=None)
    stage = staged(tmp_path, untagged, Give(validator=None))
    stage.assert_right(await stage.fetch(3, by_digest=False))
    assert [start for start, _stop, _if in stage.source.asked] == [0, 0]
    assert all(stop is None for _start, stop, _if in stage.source.asked)


@pytest.mark.parametrize("end", [End.FRAMED, End.CLOSED])
async def test_how_an_end_without_a_length_was_told(tmp_path: Path, end: End) -> None:
    stage = staged(tmp_path, Give(total=None, end=end))
    transfer = await stage.fetch()
    assert (transfer.end, stage.source.requests) == (end, 1)
    stage.assert_right(transfer)


async def test_the_end_of_a_range_is_not_the_end_of_the_file(tmp_path: Path) -> None:
    """``Content-Range: bytes 0-699/*``: the server gives less than was asked for, as it may."""
    part = Give(total=None, cut=700, then=None, end=End.OF_RANGE)
    stage = staged(tmp_path, part, part)
    stage.assert_right(await stage.fetch())
    assert [start for start, _stop, _if in stage.source.asked] == [0, 700, 1400]


@pytest.mark.parametrize("server", [len(DATA), 2000])
async def test_a_total_that_belongs_to_no_byte_is_void(tmp_path: Path, server: int) -> None:
    """An earlier run was killed before its first byte; the file has grown since."""
    (tmp_path / "digest").touch()
    (tmp_path / "digest.json").write_text(
        json.dumps({"source": "test:", "total": 314, "validator": '"v0"', "modified": None})
    )
    stage = staged(tmp_path)
    stage.source.data = DATA[:server]
    stage.assert_right(await stage.fetch(resumed=True))


async def test_what_is_complete_is_asked_after_where_no_digest_proves_it(tmp_path: Path) -> None:
    """It lay there complete since an earlier run, which was killed before it could publish it."""
    for number, tag in enumerate(('"v1"', '"v2"')):
        folder = tmp_path / str(number)
        leave(folder, DATA, HERE, proved=False)
        stage = staged(folder)
        stage.source.ever = Give(validator=tag)
        transfer = await stage.fetch(resumed=True, by_digest=False)
        assert transfer.complete
        assert stage.source.asked[0] == (len(DATA) - 1, None, '"v1"')


async def test_what_is_not_there_is_not_asked_for_twice(tmp_path: Path) -> None:
    stage = staged(tmp_path, NotFound("404"))
    assert isinstance((await stage.fetch(4)).failure, NotFound)
    assert stage.source.requests == 1


async def test_a_file_that_is_the_same(tmp_path: Path) -> None:
    stage = staged(tmp_path, Unchanged())
    assert (await stage.fetch(2, skip_if='"v1"')).unchanged
    assert (stage.source.requests, stage.received) == (1, 0)


async def test_credentials_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(CredentialsRefused):
        await staged(tmp_path, CUT, CredentialsRefused("no")).fetch(2)


async def test_a_refusal_is_the_file_s_if_the_probe_is_let_in(tmp_path: Path) -> None:
    probes: list[Exception | None] = [None]

    async def probe() -> None:
        if (problem := probes.pop(0)) is not None:
            raise problem

    stage = staged(tmp_path, CUT, AccessDenied("403"), probe=probe)
    assert isinstance((await stage.fetch()).failure, AccessDenied)
    # Access that was gone and comes back is no file's failure; a probe that breaks tells nothing.
    probes[:] = [AccessDenied("403"), Interrupted("cut"), Throttled("later"), None]
    stage = staged(tmp_path / "2", CUT, AccessDenied("403"), probe=probe)
    stage.assert_right(await stage.fetch())
    assert probes == []
    with pytest.raises(AccessDenied):
        await staged(tmp_path / "3", AccessDenied("403")).fetch()


@pytest.mark.parametrize("away", [Unreachable("gone"), Throttled("later")])
async def test_a_server_that_stays_away_ends_the_run(tmp_path: Path, away: Exception) -> None:
    stage = staged(tmp_path, CUT, patience=0.0)
    stage.source.ever = away
    with pytest.raises(type(away)) as ended:
        await stage.fetch()
    assert ended.value is away
    assert away.exit_code is ExitCode.UNREACHABLE  # type: ignore[attr-defined]
    assert (tmp_path / "digest").read_bytes() == DATA[:700]


# ── what an earlier run left ───────────────────────────────────────────────────────────────────


def leave(folder: Path, data: bytes, binding: ObjectVersion | None, *, proved: bool = True) -> None:
    partial = Partial(folder, "digest", proved=proved)
    if binding is not None:
        partial.bind(binding)
    partial.write(0, [data], 0)
    partial.save()
    partial.close()
    if binding is None:
        (folder / "digest.json").unlink(missing_ok=True)


HERE = ObjectVersion("test:", len(DATA), '"v1"', 1.5e9)


@pytest.mark.parametrize(
    ("left", "binding", "resumed", "first"),
    [
        (DATA[:1000], HERE, 1000, (1000, None, '"v1"')),
        # The validator of another source means nothing here; of unknown bytes the last is asked.
        (DATA[:1000], replace(HERE, source="other:"), 1000, (1000, None, None)),
        (DATA[:1000], None, 1000, (999, None, None)),
        (DATA, None, len(DATA), (len(DATA) - 1, None, None)),
        (DATA + b"more", None, 0, (len(DATA) + 3, None, None)),
        (DATA[:1000], replace(HERE, validator='"v0"'), 0, (1000, None, '"v0"')),
        (DATA[:1000], replace(HERE, total=2000), 0, (1000, None, '"v1"')),
    ],
)
async def test_going_on(
    tmp_path: Path, left: bytes, binding: ObjectVersion | None, resumed: int, first: tuple[Any, ...]
) -> None:
    leave(tmp_path, left, binding)
    stage = staged(tmp_path)
    transfer = await stage.fetch(resumed=True)
    assert stage.source.asked[0] == first
    assert transfer.resumed == resumed
    if binding is None and resumed:
        stage.events.append(Received(-1))  # the byte that was asked for twice
    stage.assert_right(transfer)
    assert stage.source.sent <= len(DATA) - resumed + 100


async def test_bytes_found_under_the_final_name_are_set_aside(tmp_path: Path) -> None:
    leave(tmp_path, DATA + b"more", None)
    aside: list[bytes] = []

    def set_aside(partial: Partial) -> None:
        aside.append(partial.path.read_bytes())
        partial.discard()

    stage = staged(tmp_path)
    stage.assert_right(await stage.fetch(resumed=True, set_aside=set_aside))
    assert aside == [DATA + b"more"]


async def test_bytes_found_under_the_final_name_are_set_aside_by_a_later_run(
    tmp_path: Path,
) -> None:
    """A run that was interrupted has bound them to the source's file by then."""
    mine = b"mine" * 100
    leave(tmp_path, mine, None)
    aside: list[bytes] = []

    def set_aside(partial: Partial) -> None:
        aside.append(partial.path.read_bytes()[: len(mine) - 1])  # the last one was asked for again
        partial.discard()

    stage = staged(tmp_path, Give(cut=300), NotFound("404"))
    assert (await stage.fetch(resumed=True, set_aside=set_aside)).failure is not None
    transfer = await staged(tmp_path).fetch(resumed=True, set_aside=set_aside)
    assert await transfer.restart(transfer.partial.generation)
    assert aside == [mine[:-1]]


# ── several connections, and the end in the middle ─────────────────────────────────────────────


async def test_two_that_find_the_file_changed_start_over_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    original = Partial.discard
    discarded: list[int] = []

    def discard(partial: Partial) -> None:
        discarded.append(partial.size)
        assert go.wait(5)
        original(partial)

    monkeypatch.setattr(Partial, "discard", discard)
    stage = staged(tmp_path)
    transfer = Transfer(stage.context, REF, Partial(tmp_path, "digest"))
    both = [asyncio.create_task(transfer.restart(0)) for _ in range(2)]
    while not discarded:
        await asyncio.sleep(0)
    assert transfer.segments.take_idle(1) is None  # not before the old bytes are gone
    go.set()
    assert await asyncio.gather(*both) == [True, False]
    assert (discarded, transfer.partial.generation) == ([0], 1)
    assert transfer.segments.take_idle(1) is not None


async def test_cancelled_in_the_middle_what_arrived_is_on_the_disk(tmp_path: Path) -> None:
    stage = staged(tmp_path)
    there = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, 700, 70):
            yield DATA[at : at + 70]
        there.set()
        await asyncio.Event().wait()

    stage.source.ever = Opened(0, len(DATA), '"v1"', None, chunks())
    task = asyncio.create_task(stage.fetch())
    await there.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (tmp_path / "digest").read_bytes() == DATA[:700]
    assert stage.received == 700
    stage = staged(tmp_path)
    stage.assert_right(await stage.fetch(resumed=True))
    assert stage.source.asked[0] == (700, None, '"v1"')


async def test_it_takes_no_more_than_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    async def take(_rate_limiter: RateLimiter, count: int) -> None:
        taken.append(count)

    monkeypatch.setattr(RateLimiter, "consume", take)
    stage = staged(tmp_path)
    stage.assert_right(await stage.fetch(3))
    assert sum(taken) == len(DATA)


@pytest.mark.parametrize("total", [len(DATA), None])
@pytest.mark.parametrize("most", [len(DATA), len(DATA) - 1])
async def test_a_file_that_is_too_large(tmp_path: Path, total: int | None, most: int) -> None:
    stage = staged(tmp_path)
    stage.source.ever = Give(total=total)
    transfer = Transfer(
        stage.context, REF, Partial(tmp_path, "digest"), TransferOptions(max_bytes=most)
    )
    await transfer.begin(load=False)
    await fetch_alone(TransferPool(), transfer, 1)
    if most == len(DATA):
        stage.assert_right(transfer)
    else:
        assert isinstance(transfer.failure, InvalidResponse)
        assert stage.source.requests == 1


async def test_cancelled_in_a_hand_over_it_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = asyncio.Event(), threading.Event()
    loop, original = asyncio.get_running_loop(), Partial.write

    def write(partial: Partial, offset: int, chunks: list[bytes], generation: int) -> bool:
        loop.call_soon_threadsafe(begun.set)
        assert go.wait(5)
        return original(partial, offset, chunks, generation)

    monkeypatch.setattr(executors, "SMALL", 0)  # in a thread
    monkeypatch.setattr(Partial, "write", write)
    stage = staged(tmp_path)
    task = asyncio.create_task(stage.fetch())
    await begun.wait()
    task.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stage.received == (tmp_path / "digest").stat().st_size > 0


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    size=st.integers(0, 5000),
    cuts=st.lists(st.one_of(st.integers(0, 2000), st.none()), max_size=8),
    odd=st.sampled_from([Give(), Give(whole=True), Give(shift=3), Give(total=None), PastEnd(5)]),
    place=st.integers(0, 8),
    connections=st.integers(1, 4),
)
def test_whatever_the_line_does(
    size: int, cuts: list[int | None], odd: Step, place: int, connections: int
) -> None:
    steps: list[Step] = [Give(cut=cut) for cut in cuts if cut != 0]
    steps.insert(place, odd)
    with tempfile.TemporaryDirectory() as folder:
        source = Scripted(random.Random(size).randbytes(size), deque(steps))
        stage = Stage(Path(folder), source)
        stage.assert_right(asyncio.run(stage.fetch(connections)))
