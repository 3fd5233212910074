"""What a server may not do to us: answers without an end, and sending us elsewhere; and the one
thing that it may do at any time: close an idle connection."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from cxrsync.config.job import SourceConfig, TransferLimits
from cxrsync.errors import Interrupted, InvalidResponse, NotFound, SourceError, Unanswered
from cxrsync.model import RemotePath
from cxrsync.sources.base import Opened
from cxrsync.sources.credentials import Credentials
from cxrsync.sources.physionet import PhysioNet

pytestmark = pytest.mark.usefixtures("both_paths")

# Much less than the patience of a test, much more than what loopback takes.
LIMITS = TransferLimits(connect_timeout=5.0, stall_timeout=0.5)
PATIENCE = 60.0
FILE = RemotePath("alpha", "1.0", "SHA256SUMS.txt")  # what a run asks for first
OK = b"HTTP/1.1 200 OK\r\n"
TWO = OK + b"Content-Length: 2\r\n\r\nok"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw(answer: Answer) -> AsyncIterator[str]:
    """A server that does with each connection what ``answer`` does."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            await answer(reader, writer)

    async with await asyncio.start_server(converse, "127.0.0.1") as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/files"


@asynccontextmanager
async def guest(base_url: str, limits: TransferLimits = LIMITS) -> AsyncIterator[PhysioNet]:
    def ask(host: str, user: str | None) -> Credentials:
        return Credentials("demo", "hush", "a test")

    source = PhysioNet(SourceConfig(base_url=base_url, user="demo"), limits, ask)
    try:
        async with asyncio.timeout(PATIENCE):
            yield source
    finally:
        await source.close()


async def read(source: PhysioNet) -> bytes:
    async with source.open(FILE) as answer:
        assert isinstance(answer, Opened)
        return b"".join([chunk async for chunk in answer.chunks])


async def request(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


# ── too much ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "said",
    [
        OK + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(1000)) + b"\r\n",
        OK + b"X: y\r\n" * 100_000 + b"\r\n",
        OK + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        OK + b"X" * 100_000 + b": y\r\n\r\n",
        OK + b"X: y\r\n" + b" folded\r\n" * 100_000 + b"\r\n",
        OK + b"Set-Cookie: a=" + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 " + b"O" * 100_000 + b"K\r\n\r\n",
        b"HTTP/1.1 " + b"2" * 100_000 + b" OK\r\n\r\n",
        OK + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\nok",
        OK + CHUNKED + b"f" * 100_000 + b"\r\nok",
    ],
    ids=lambda said: f"{said[:28]!r}…",
)
async def test_a_head_that_is_too_large(said: bytes) -> None:
    async def verbose(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(said)
        await writer.drain()
        await reader.read()

    async with raw(verbose) as url, guest(url) as source:
        with pytest.raises((InvalidResponse, Interrupted)):
            await read(source)


ENDLESS = {
    "lines of a head": (OK, b"X: y\r\n"),
    "one line of a head": (OK + b"X: ", b"y"),
    "a reason": (b"HTTP/1.1 200 ", b"O"),
    "blank lines first": (b"", b"\r\n"),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "102 Processing": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "103 Early Hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "a chunk's extension": (OK + CHUNKED + b"3;", b"x"),
    "trailers": (OK + CHUNKED + b"2\r\nok\r\n0\r\n", b"X: y\r\n"),
    "a refusal's packing": (b"HTTP/1.1 404 No\r\n" + CHUNKED + b"3;", b"x"),
}


@pytest.mark.parametrize("pause", [0.02, 0.0], ids=["drop by drop", "as a flood"])
@pytest.mark.parametrize("what", ENDLESS)
async def test_an_answer_that_never_gets_to_the_point(
    what: str, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxrsync.sources.http.client._MAX_REFUSAL_SECONDS", 0.5)
    begin, again = ENDLESS[what]

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(begin)
        while not writer.is_closing():
            writer.write(again if pause else again * 1000)
            await writer.drain()
            await asyncio.sleep(pause)

    async with raw(endless) as url, guest(url) as source:
        with pytest.raises((InvalidResponse, Interrupted, NotFound)):
            await read(source)


async def test_a_connection_that_is_waited_for_is_no_silent_server() -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def patient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await request(reader):
            writer.write(TWO[:-1])
            began.set()
            await go_on.wait()
            writer.write(TWO[-1:])

    limits = TransferLimits(connections=1, connect_timeout=0.2, stall_timeout=5.0)
    async with raw(patient) as url:
        source = PhysioNet(SourceConfig(base_url=url), limits)
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as both:
            first = both.create_task(read(source))
            await began.wait()
            second = both.create_task(read(source))
            await asyncio.sleep(0.4)  # longer than a connection may take to be made
            go_on.set()
        await source.close()
    assert first.result() == second.result() == b"ok"


async def test_a_provisional_answer_is_passed_over() -> None:
    async def hinting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + TWO)
        await writer.drain()

    async with raw(hinting) as url, guest(url) as source:
        assert await read(source) == b"ok"


@pytest.mark.parametrize("pause", [0.02, 0.0], ids=["drop by drop", "as a flood"])
async def test_a_listing_without_an_end_is_no_reason_to_stop(pause: float) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(OK + b"Content-Type: application/json\r\n\r\n[")
        while not writer.is_closing():
            writer.write(b'{"version": "1.0"},' * (1 if pause else 1000))
            await writer.drain()
            await asyncio.sleep(pause)

    # A flood is ended by its size.
    limits = LIMITS if pause else TransferLimits(stall_timeout=60.0)
    async with raw(endless) as url, guest(url, limits) as source:
        with pytest.raises(Unanswered):
            await source.versions("alpha")


# ── elsewhere ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
@pytest.mark.parametrize("signed_in", [False, True])
async def test_no_redirect_is_followed(status: int, signed_in: bool) -> None:
    seen: list[bytes] = []
    seen_elsewhere: list[bytes] = []
    where = b""

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen_elsewhere.append(await request(reader))

    async def pointing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append(head := await request(reader))
            if signed_in and b"Authorization" not in head:
                writer.write(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\nSet-Cookie: t=1\r\n\r\n")
            elif signed_in and b"Basic" in head:
                writer.write(TWO.replace(b"OK", b"OK\r\nSet-Cookie: sessionid=s; Path=/"))
            else:
                writer.write(
                    b"HTTP/1.1 %d Elsewhere\r\nLocation: %s\r\nRefresh: 0; url=%s\r\n"
                    b"Link: <%s>; rel=preload\r\nContent-Length: 0\r\n\r\n"
                    % (status, where, where, where)
                )

    async with raw(elsewhere) as other, raw(pointing) as url, guest(url) as source:
        asked = 0
        if signed_in:
            assert await read(source) == b"ok"
            asked = 2
        for there in (other, url, other.replace("http:", ""), "/elsewhere", "file:///etc", "::"):
            where = there.encode()
            asked += 1
            with pytest.raises(SourceError, match=str(status)):
                await read(source)
            assert len(seen) == asked
        where = other.encode()
        with pytest.raises(Unanswered):
            await source.versions("alpha")
    assert seen_elsewhere == []


# ── the end of an idle connection ──────────────────────────────────────────────────────────────


def hang_up(writer: asyncio.StreamWriter, *, rudely: bool) -> None:
    if rudely:  # RST: what was sent and not read is lost, as behind a router that forgot us
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
    else:
        writer.close()


@pytest.mark.parametrize("rudely", [False, True])
async def test_a_connection_that_ends_as_the_request_goes_out_costs_nothing(rudely: bool) -> None:
    """aiohttp sends a GET once more by itself; we rely on it, and pause and count nothing."""
    seen: list[bytes] = []

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await request(reader))
        writer.write(TWO)
        seen.append(await request(reader))  # on the connection that was kept
        hang_up(writer, rudely=rudely)

    # Far longer than four answers take on a machine that is busy with something else.
    limits = TransferLimits(stall_timeout=30.0)
    async with raw(hasty) as url, guest(url, limits) as source:
        began = asyncio.get_running_loop().time()
        for answered in range(1, 5):
            assert await read(source) == b"ok"
            assert source.requests == answered
        assert asyncio.get_running_loop().time() - began < limits.stall_timeout
    # The first on a fresh connection; each other one on a kept one in vain, then on a fresh one.
    assert len(seen) == 1 + 3 * 2


@pytest.mark.parametrize("rudely", [False, True])
async def test_a_connection_that_ends_twice_is_a_failure(rudely: bool) -> None:
    seen: list[bytes] = []

    async def gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await request(reader))
        hang_up(writer, rudely=rudely)

    async with raw(gone) as url, guest(url) as source:
        with pytest.raises(Interrupted):
            await read(source)
    assert len(seen) == 2


async def test_an_answer_that_breaks_off_is_not_asked_for_again_in_secret() -> None:
    """Only the engine may: it knows which bytes are there."""
    seen: list[bytes] = []

    async def torn(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await request(reader))
        writer.write(TWO)
        seen.append(await request(reader))
        writer.write(TWO[:-1])

    async with raw(torn) as url, guest(url) as source:
        assert await read(source) == b"ok"
        with pytest.raises(Interrupted):
            await read(source)
    assert len(seen) == 2
