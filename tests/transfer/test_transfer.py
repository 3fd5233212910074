"""The transfer of one file through everything that a server can do; the disk is real."""

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

from cxrsync import threads
from cxrsync.config.job import TransferLimits
from cxrsync.config.timetable import Timetable
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
from cxrsync.sources.base import Answer, BodyEnd, Opened, PastEnd, Unchanged
from cxrsync.storage.partial import Partial
from cxrsync.storage.sidecar import ObjectVersion
from cxrsync.threads import Writers
from cxrsync.transfer import retry_policy, segments
from cxrsync.transfer import transfer as module
from cxrsync.transfer.pool import TransferPool, fetch_alone
from cxrsync.transfer.rate_limit import RateLimiter
from cxrsync.transfer.source_limits import LimitsOfSources
from cxrsync.transfer.transfer import Transfer
from cxrsync.transfer.transfer_context import TransferContext
from cxrsync.transfer.transfer_options import TransferOptions

DATA = random.Random(7).randbytes(3000)
REF = RemotePath("alpha", "1.0", "files/p10/one.jpg")
RETRIES = 3
SAME: Any = object()


@dataclass
class Scripted:
    """A source with one scripted step for each request; after the last, ``ever`` is repeated."""

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
    """An answer with the requested bytes, wrong in the ways that its fields say."""

    whole: bool = False
    shift: int = 0
    total: int | None = SAME
    validator: str | None = '"v1"'
    cut: int | None = None
    then: Exception | None = Interrupted("cut")  # noqa: RUF009 - never changed
    more: bytes = b""
    size: int = 100
    end: BodyEnd | None = None

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
class Harness:
    """The transfer of one file from ``source``."""

    folder: Path
    source: Scripted
    events: list[Event] = field(default_factory=list)
    probe: Callable[[], Coroutine[Any, Any, None]] | None = None
    patience: float = 60.0

    def __post_init__(self) -> None:
        self.pool = TransferPool()
        emit = self.events.append
        limits = TransferLimits(retries=RETRIES, give_up_after=self.patience)
        self.context = TransferContext(
            self.source,
            limits,
            LimitsOfSources(self.source, limits, emit),
            emit,
            Writers(),
            self.probe,
            self.pool.notify,
        )

    async def fetch(self, connections: int = 1, resumed: bool = False, **more: Any) -> Transfer:
        partial = Partial(self.folder, "digest", digest_known=more.get("by_digest", True))
        transfer = Transfer(self.context, REF, partial, TransferOptions(**more))
        async with asyncio.timeout(60):
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
    monkeypatch.setattr(retry_policy, "_FIRST_BACKOFF", 0.0)
    monkeypatch.setattr(module, "HANDOVER_BYTES", 250)
    for each in (module, segments):
        monkeypatch.setattr(each, "MIN_SHARE", 300)
    monkeypatch.setattr(segments, "_ALIGN", 1)


def make_harness(folder: Path, *steps: Step, **more: Any) -> Harness:
    return Harness(folder, Scripted(DATA, deque(steps)), **more)


CUT = Give(cut=700)


@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize(
    "steps",
    [
        [], [CUT], [Give(cut=0)],
        [Give(cut=130)] * 20,  # bytes refill the retry budget
        [CUT, Give(cut=0), Give(cut=0)],
        [Give(cut=0, then=None)], [Give(cut=700, then=None), Give(cut=50, then=None)],
        [Give(more=b"x" * 500)], [CUT, Give(more=b"x" * 500)],
        [CUT, Give(whole=True)], [CUT, Give(whole=True, cut=400)],
        # A file that has changed stays changed for every connection.
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
    harness = make_harness(tmp_path, *steps)
    transfer = await harness.fetch(connections)
    harness.assert_right(transfer)
    restarts = (
        transfer.partial.generation
    )  # also after a restart discarded bytes that were not counted yet
    assert restarts <= 1
    assert harness.source.requests <= len(steps) + 3 * connections
    assert harness.source.sent <= len(DATA) * (1 + restarts) + 500 + 100 * connections


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
        # Bytes that are discarded must not refill the retry budget for ever.
        no_ranges, other_total,
        Give(whole=True, cut=700), Give(whole=True, validator=None, cut=700),
    ],
)  # fmt: skip
async def test_an_error_that_repeats_fails_the_file(
    tmp_path: Path, ever: Step, connections: int
) -> None:
    harness = make_harness(tmp_path)
    harness.source.ever = ever
    transfer = await harness.fetch(connections)
    assert transfer.failure is not None
    assert harness.source.requests <= 6 * (RETRIES + 1)
    assert harness.received == transfer.partial.size


@pytest.mark.parametrize("connections", [1, 3])
async def test_an_etag_that_is_new_in_each_answer(tmp_path: Path, connections: int) -> None:
    """As behind a load balancer: in one stream, without If-Range, the digest decides."""
    harness = make_harness(tmp_path)
    harness.source.ever = other_tag
    transfer = await harness.fetch(connections)
    harness.assert_right(transfer)
    assert harness.source.asked[-1][2] is None
    assert harness.source.sent <= 2 * len(DATA)


async def test_without_a_digest_only_a_strong_etag_joins_two_answers(tmp_path: Path) -> None:
    """The second answer may be of another object, and nothing would show it."""
    untagged = Give(cut=700, validator=None)
    harness = make_harness(tmp_path, untagged, Give(validator=None))
    harness.assert_right(await harness.fetch(3, by_digest=False))
    assert [start for start, _stop, _if in harness.source.asked] == [0, 0]
    assert all(stop is None for _start, stop, _if in harness.source.asked)


@pytest.mark.parametrize("end", [BodyEnd.FRAMED, BodyEnd.CLOSED])
async def test_what_proved_the_end_of_an_answer_without_a_length(
    tmp_path: Path, end: BodyEnd
) -> None:
    harness = make_harness(tmp_path, Give(total=None, end=end))
    transfer = await harness.fetch()
    assert (transfer.end, harness.source.requests) == (end, 1)
    harness.assert_right(transfer)


async def test_the_end_of_a_range_is_not_the_end_of_the_file(tmp_path: Path) -> None:
    """``Content-Range: bytes 0-699/*``: the server gives less than was asked for, as it may."""
    part = Give(total=None, cut=700, then=None, end=BodyEnd.OF_RANGE)
    harness = make_harness(tmp_path, part, part)
    harness.assert_right(await harness.fetch())
    assert [start for start, _stop, _if in harness.source.asked] == [0, 700, 1400]


@pytest.mark.parametrize("server", [len(DATA), 2000])
async def test_a_total_without_any_byte_is_void(tmp_path: Path, server: int) -> None:
    """An earlier run was killed before its first byte; the file has grown since."""
    (tmp_path / "digest").touch()
    (tmp_path / "digest.json").write_text(
        json.dumps({"source": "test:", "total": 314, "validator": '"v0"', "modified": None})
    )
    harness = make_harness(tmp_path)
    harness.source.data = DATA[:server]
    harness.assert_right(await harness.fetch(resumed=True))


async def test_a_complete_partial_without_a_digest_is_confirmed_by_a_request(
    tmp_path: Path,
) -> None:
    """An earlier run was killed before it could publish the file."""
    for number, tag in enumerate(('"v1"', '"v2"')):
        folder = tmp_path / str(number)
        leave(folder, DATA, HERE, digest_known=False)
        harness = make_harness(folder)
        harness.source.ever = Give(validator=tag)
        transfer = await harness.fetch(resumed=True, by_digest=False)
        assert transfer.complete
        assert harness.source.asked[0] == (len(DATA) - 1, None, '"v1"')


async def test_404_is_not_retried(tmp_path: Path) -> None:
    harness = make_harness(tmp_path, NotFound("404"))
    assert isinstance((await harness.fetch(4)).failure, NotFound)
    assert harness.source.requests == 1


async def test_an_unchanged_file(tmp_path: Path) -> None:
    harness = make_harness(tmp_path, Unchanged())
    assert (await harness.fetch(2, skip_if='"v1"')).unchanged
    assert (harness.source.requests, harness.received) == (1, 0)


async def test_refused_credentials_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(CredentialsRefused):
        await make_harness(tmp_path, CUT, CredentialsRefused("no")).fetch(2)


async def test_403_concerns_the_file_if_the_probe_is_answered(tmp_path: Path) -> None:
    probes: list[Exception | None] = [None]

    async def probe() -> None:
        if (problem := probes.pop(0)) is not None:
            raise problem

    harness = make_harness(tmp_path, CUT, AccessDenied("403"), probe=probe)
    assert isinstance((await harness.fetch()).failure, AccessDenied)
    # Access that comes back means that no file failed; a probe that breaks off proves nothing.
    probes[:] = [AccessDenied("403"), Interrupted("cut"), Throttled("later"), None]
    harness = make_harness(tmp_path / "2", CUT, AccessDenied("403"), probe=probe)
    harness.assert_right(await harness.fetch())
    assert probes == []
    with pytest.raises(AccessDenied):
        await make_harness(tmp_path / "3", AccessDenied("403")).fetch()


@pytest.mark.parametrize("away", [Unreachable("gone"), Throttled("later")])
async def test_a_server_that_stays_away_ends_the_run(tmp_path: Path, away: Exception) -> None:
    harness = make_harness(tmp_path, CUT, patience=0.0)
    harness.source.ever = away
    with pytest.raises(type(away)) as ended:
        await harness.fetch()
    assert ended.value is away
    assert away.exit_code is ExitCode.UNREACHABLE  # type: ignore[attr-defined]
    assert (tmp_path / "digest").read_bytes() == DATA[:700]


# ── what an earlier run left ─────────────────────────────────────────────────────────────────────


def leave(
    folder: Path, data: bytes, binding: ObjectVersion | None, *, digest_known: bool = True
) -> None:
    partial = Partial(folder, "digest", digest_known=digest_known)
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
        # Another source's validator means nothing here; of unknown bytes the last is requested.
        (DATA[:1000], replace(HERE, source="other:"), 1000, (1000, None, None)),
        (DATA[:1000], None, 1000, (999, None, None)),
        (DATA, None, len(DATA), (len(DATA) - 1, None, None)),
        (DATA + b"more", None, 0, (len(DATA) + 3, None, None)),
        (DATA[:1000], replace(HERE, validator='"v0"'), 0, (1000, None, '"v0"')),
        (DATA[:1000], replace(HERE, total=2000), 0, (1000, None, '"v1"')),
    ],
)
async def test_resuming(
    tmp_path: Path, left: bytes, binding: ObjectVersion | None, resumed: int, first: tuple[Any, ...]
) -> None:
    leave(tmp_path, left, binding)
    harness = make_harness(tmp_path)
    transfer = await harness.fetch(resumed=True)
    assert harness.source.asked[0] == first
    assert transfer.resumed == resumed
    if binding is None and resumed:
        harness.events.append(Received(-1))  # the byte that was requested twice
    harness.assert_right(transfer)
    assert harness.source.sent <= len(DATA) - resumed + 100


async def test_bytes_that_had_the_final_name_are_set_aside(tmp_path: Path) -> None:
    leave(tmp_path, DATA + b"more", None)
    aside: list[bytes] = []

    def set_aside(partial: Partial) -> None:
        aside.append(partial.path.read_bytes())
        partial.discard()

    harness = make_harness(tmp_path)
    harness.assert_right(await harness.fetch(resumed=True, set_aside=set_aside))
    assert aside == [DATA + b"more"]


async def test_bytes_that_had_the_final_name_are_set_aside_by_a_later_run(
    tmp_path: Path,
) -> None:
    """An interrupted run has already bound them to the source's file."""
    mine = b"mine" * 100
    leave(tmp_path, mine, None)
    aside: list[bytes] = []

    def set_aside(partial: Partial) -> None:
        aside.append(
            partial.path.read_bytes()[: len(mine) - 1]
        )  # the last byte was requested again
        partial.discard()

    harness = make_harness(tmp_path, Give(cut=300), NotFound("404"))
    assert (await harness.fetch(resumed=True, set_aside=set_aside)).failure is not None
    transfer = await make_harness(tmp_path).fetch(resumed=True, set_aside=set_aside)
    assert await transfer.restart(transfer.partial.generation)
    assert aside == [mine[:-1]]


# ── several connections, and the end in the middle ───────────────────────────────────────────────


async def test_two_connections_that_find_the_file_changed_restart_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    original = Partial.discard
    discarded: list[int] = []

    def discard(partial: Partial) -> None:
        discarded.append(partial.size)
        assert go.wait(60)
        original(partial)

    monkeypatch.setattr(Partial, "discard", discard)
    harness = make_harness(tmp_path)
    transfer = Transfer(harness.context, REF, Partial(tmp_path, "digest"))
    both = [asyncio.create_task(transfer.restart(0)) for _ in range(2)]
    while not discarded:
        await asyncio.sleep(0)
    assert transfer.segments.take_idle(1) is None  # not before the old bytes are gone
    go.set()
    assert await asyncio.gather(*both) == [True, False]
    assert (discarded, transfer.partial.generation) == ([0], 1)
    assert transfer.segments.take_idle(1) is not None


async def test_bytes_received_before_a_cancellation_are_on_the_disk(tmp_path: Path) -> None:
    harness = make_harness(tmp_path)
    there = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, 700, 70):
            yield DATA[at : at + 70]
        there.set()
        await asyncio.Event().wait()

    harness.source.ever = Opened(0, len(DATA), '"v1"', None, chunks())
    task = asyncio.create_task(harness.fetch())
    await there.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (tmp_path / "digest").read_bytes() == DATA[:700]
    assert harness.received == 700
    harness = make_harness(tmp_path)
    harness.assert_right(await harness.fetch(resumed=True))
    assert harness.source.asked[0] == (700, None, '"v1"')


async def test_every_byte_passes_the_rate_limiter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    async def take(_rate_limiter: RateLimiter, count: int) -> None:
        taken.append(count)

    monkeypatch.setattr(RateLimiter, "consume", take)
    harness = make_harness(tmp_path)
    harness.assert_right(await harness.fetch(3))
    assert sum(taken) == len(DATA)


class Pausing(RateLimiter):
    """Pauses each time so many bytes have come, until somebody waits for the end of the pause."""

    def __init__(self, every: int) -> None:
        super().__init__(Timetable())
        self.every, self.left, self.pauses = every, every, 0

    @property
    def paused(self) -> bool:
        return self.left <= 0

    async def consume(self, count: int) -> None:
        assert not self.paused
        self.left -= count

    async def wait_unpaused(self) -> bool:
        was_paused = self.paused
        if was_paused:
            self.left, self.pauses = self.every, self.pauses + 1
        return was_paused


@pytest.mark.parametrize("total", [len(DATA), None])
async def test_a_pause_ends_the_request_and_the_rest_is_asked_for_after_it(
    tmp_path: Path, total: int | None
) -> None:
    harness = make_harness(tmp_path)
    harness.source.ever = Give(total=total)
    pausing = Pausing(every=700)
    context = harness.context
    limits_of = LimitsOfSources(context.source, context.limits, harness.events.append, pausing)
    harness.context = replace(context, rate_limiter=pausing, limits_of=limits_of)
    harness.assert_right(await harness.fetch())
    assert pausing.pauses == 4
    assert [start for start, *_ in harness.source.asked] == [0, 700, 1400, 2100, 2800]


@pytest.mark.parametrize("total", [len(DATA), None])
@pytest.mark.parametrize("most", [len(DATA), len(DATA) - 1])
async def test_a_file_that_is_too_large(tmp_path: Path, total: int | None, most: int) -> None:
    harness = make_harness(tmp_path)
    harness.source.ever = Give(total=total)
    transfer = Transfer(
        harness.context, REF, Partial(tmp_path, "digest"), TransferOptions(max_bytes=most)
    )
    await transfer.begin(load=False)
    await fetch_alone(TransferPool(), transfer, 1)
    if most == len(DATA):
        harness.assert_right(transfer)
    else:
        assert isinstance(transfer.failure, InvalidResponse)
        assert harness.source.requests == 1


async def test_bytes_written_during_a_cancellation_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = asyncio.Event(), threading.Event()
    loop, original = asyncio.get_running_loop(), Partial.write

    def write(partial: Partial, offset: int, chunks: list[bytes], generation: int) -> bool:
        loop.call_soon_threadsafe(begun.set)
        assert go.wait(60)
        return original(partial, offset, chunks, generation)

    monkeypatch.setattr(threads, "SMALL", 0)  # in a thread
    monkeypatch.setattr(Partial, "write", write)
    harness = make_harness(tmp_path)
    task = asyncio.create_task(harness.fetch())
    await begun.wait()
    task.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert harness.received == (tmp_path / "digest").stat().st_size > 0


@settings(max_examples=60)
@given(
    size=st.integers(0, 5000),
    cuts=st.lists(st.one_of(st.integers(0, 2000), st.none()), max_size=8),
    odd=st.sampled_from([Give(), Give(whole=True), Give(shift=3), Give(total=None), PastEnd(5)]),
    place=st.integers(0, 8),
    connections=st.integers(1, 4),
)
def test_the_bytes_are_right_whatever_the_server_does(
    size: int, cuts: list[int | None], odd: Step, place: int, connections: int
) -> None:
    steps: list[Step] = [Give(cut=cut) for cut in cuts if cut != 0]
    steps.insert(place, odd)
    with tempfile.TemporaryDirectory() as folder:
        source = Scripted(random.Random(size).randbytes(size), deque(steps))
        harness = Harness(Path(folder), source)
        harness.assert_right(asyncio.run(harness.fetch(connections)))
