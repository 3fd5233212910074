"""While nothing arrives, a line says so within two seconds; a byte for any request is a sign of
life for all."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from transfer.virtual_clock import Clock, virtually

from cxrsync.config.job import SourceConfig, TransferLimits
from cxrsync.events import Event, SigningIn, Waiting
from cxrsync.model import RemotePath
from cxrsync.progress_events import WaitingEnded
from cxrsync.sources.base import Opened
from cxrsync.sources.credentials import Credentials
from cxrsync.sources.http import silence
from cxrsync.sources.http.silence import AGAIN_SECONDS, FIRST_SECONDS, SilenceWatch
from cxrsync.sources.physionet import PhysioNet


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_within_two_seconds_of_the_start_of_the_command() -> None:
    assert FIRST_SECONDS <= 1.5


class Listener:
    """What is told, and when, in seconds since the beginning."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._began = clock, clock.now
        self.told: list[tuple[float, str, float]] = []
        self.ended: list[float] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, WaitingEnded):
            self.ended.append(self._clock.now - self._began)
            return
        assert isinstance(event, Waiting)
        self.told.append((self._clock.now - self._began, event.what, event.at_most))

    @property
    def times(self) -> list[float]:
        return [time for time, _what, _at_most in self.told]


@virtually
async def test_a_server_that_never_answers(clock: Clock) -> None:
    watch = SilenceWatch("physionet.org", told := Listener(clock))
    watch.begin(30.0)
    await asyncio.sleep(70)
    watch.close()
    assert told.times == [1.5, 31.5, 61.5]
    assert set(told.told[0][1:]) == {"no answer yet from physionet.org", 30.0}


@virtually
async def test_an_answer_in_time(clock: Clock) -> None:
    watch = SilenceWatch("physionet.org", told := Listener(clock))
    for _ in range(50):
        watch.begin(30.0)
        await asyncio.sleep(1.4)
        watch.end(arrived=True)
    await asyncio.sleep(60)
    assert told.told == []


@virtually
async def test_bytes_for_one_request_are_a_sign_of_life_for_all(clock: Clock) -> None:
    watch = SilenceWatch("physionet.org", told := Listener(clock))
    watch.begin(60.0)
    for _ in range(40):
        await asyncio.sleep(1)
        watch.note_bytes()
    assert told.told == []
    await asyncio.sleep(2)
    watch.close()
    assert told.told == [(41.5, "nothing arrives from physionet.org", 60.0)]


@virtually
async def test_the_end_of_a_wait_is_told_once(clock: Clock) -> None:
    watch = SilenceWatch("physionet.org", told := Listener(clock))
    watch.begin(60.0)
    await asyncio.sleep(40)
    watch.note_bytes()
    watch.note_bytes()
    watch.close()
    assert (told.times, told.ended) == ([1.5, 31.5], [40.0])


@virtually
async def test_a_server_that_is_slow_again_and_again_is_told_of_from_time_to_time(
    clock: Clock,
) -> None:
    watch = SilenceWatch("physionet.org", told := Listener(clock))
    for _ in range(30):
        watch.begin(30.0)
        await asyncio.sleep(3)
        watch.end(arrived=True)
    assert all(later - earlier >= AGAIN_SECONDS for earlier, later in pairwise(told.times))
    assert 2 <= len(told.told) <= 4


@virtually
async def test_pauses_of_our_own_do_not_count(clock: Clock) -> None:
    watch = SilenceWatch("physionet.org", told := Listener(clock))
    for _ in range(5):
        watch.begin(30.0)
        await asyncio.sleep(0.5)
        watch.end(arrived=False)
        await asyncio.sleep(100)
    assert told.told == []


@virtually
async def test_a_connection_that_is_accepted_is_no_answer(clock: Clock) -> None:
    watch = SilenceWatch("physionet.org", told := Listener(clock))
    watch.begin(30.0)
    await asyncio.sleep(1.0)
    watch.go_on(60.0)
    await asyncio.sleep(1.0)
    watch.close()
    assert told.told == [(1.5, "no answer yet from physionet.org", 60.0)]


# ── a real server, and a real client ───────────────────────────────────────────────────────────

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
STALL = 60.0
UNAUTHORIZED = b"HTTP/1.1 401 No\r\nContent-Length: 0\r\nSet-Cookie: t=1\r\n\r\n"


@asynccontextmanager
async def pulling_from(
    answer: Answer, told: list[Event], ask: object = None
) -> AsyncIterator[PhysioNet]:
    """A source whose server does what ``answer`` does. It may fall silent for a minute: this
    process may have to wait for a processor, too."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            await answer(reader, writer)

    async with await asyncio.start_server(converse, "127.0.0.1") as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/files"
        limits = TransferLimits(stall_timeout=STALL)

        def listen(event: Event) -> None:
            if not isinstance(event, SigningIn):  # it is told whatever the server does
                told.append(event)

        source = PhysioNet(SourceConfig(base_url=url), limits, ask, emit=listen)  # type: ignore[arg-type]
        try:
            yield source
        finally:
            await source.close()


async def read(source: PhysioNet) -> bytes:
    async with source.open(RemotePath("alpha", "1.0", "SHA256SUMS.txt")) as answer:
        assert isinstance(answer, Opened)
        return b"".join([chunk async for chunk in answer.chunks])


async def never(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


def waits(events: list[Event]) -> list[Waiting]:
    return [event for event in events if isinstance(event, Waiting)]


async def no_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    await reader.read()


async def no_sign_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if b"Authorization" not in await reader.readuntil(b"\r\n\r\n"):
        writer.write(UNAUTHORIZED)
    await reader.read()


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (never, "no answer yet from 127.0.0.1"),
        (no_body, "nothing arrives from 127.0.0.1"),
        (no_sign_in, "nothing arrives from 127.0.0.1"),
    ],
    ids=["no head", "no body", "no answer to the password"],
)
async def test_wherever_the_server_falls_silent(
    answer: Answer, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server, too, may be late, and be told of before it falls silent.
    monkeypatch.setattr(silence, "FIRST_SECONDS", 0.1)
    monkeypatch.setattr(silence, "AGAIN_SECONDS", 0.1)
    told: list[Event] = []

    def ask(_host: str, _user: str | None) -> Credentials:
        return Credentials("demo", "hush", "a test")

    async with pulling_from(answer, told, ask) as source:
        reading = asyncio.create_task(read(source))
        async with asyncio.timeout(STALL / 2):
            while (what, STALL) not in [(each.what, each.at_most) for each in waits(told)]:
                await asyncio.sleep(0.01)
        assert not reading.done()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading


async def test_whoever_types_a_password_is_not_disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "FIRST_SECONDS", 0.08)
    told: list[Event] = []
    told_meanwhile: list[list[Event]] = []
    loop = asyncio.get_running_loop()

    def ask(_host: str, _user: str | None) -> Credentials:
        """A person who looks at the terminal, and thinks, for as long as five lines would take."""
        before = len(told)  # on a loaded machine a connection may have taken its time
        done = asyncio.run_coroutine_threadsafe(asyncio.sleep(0.4), loop)
        done.result()
        told_meanwhile.append(told[before:])
        return Credentials("demo", "hush", "a test")

    async def honest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.readuntil(b"\r\n\r\n"):  # on this connection, or another
            ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            writer.write(ok if b"Authorization" in asked else UNAUTHORIZED)

    async with pulling_from(honest, told, ask) as source:
        assert await read(source) == b"ok"
    assert told_meanwhile == [[]]
