"""Heads of responses: large ones are read, unreadable ones are told by status and reason, in
cxrsync's words."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cxrsync.config.job import HttpPath, SourceConfig, TransferLimits
from cxrsync.errors import Interrupted, InvalidResponse, NotFound, SourceError
from cxrsync.model import RemotePath
from cxrsync.sources.base import Opened
from cxrsync.sources.http.response_head import describe_unreadable
from cxrsync.sources.physionet import PhysioNet

pytestmark = pytest.mark.usefixtures("both_paths")

MANIFEST = RemotePath("alpha", "1.0", "SHA256SUMS.txt")
OK = b"HTTP/1.1 200 OK\r\n"
END = b"Content-Length: 2\r\n\r\nok"
COOKIE = b"Set-Cookie: sessionid=secret-session-value\r\n"
AIOHTTP = ("message", "url=", "b'", "Error", "http://", "8190", "secret-session-value")


@asynccontextmanager
async def answering(*answers: bytes, close: bool = False) -> AsyncIterator[PhysioNet]:
    """A client of a server that gives these answers on one connection, and then reads on, or closes
    it."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            for answer in answers:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
                await writer.drain()
            if not close:
                await reader.read()
            elif not answers:
                await reader.readuntil(b"\r\n\r\n")

    async with await asyncio.start_server(converse, "127.0.0.1") as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/files"
        source = PhysioNet(SourceConfig(base_url=url), TransferLimits(stall_timeout=5.0))
        try:
            async with asyncio.timeout(30):
                yield source
        finally:
            await source.close()


async def read(source: PhysioNet) -> bytes:
    async with source.open(MANIFEST) as answer:
        assert isinstance(answer, Opened)
        return b"".join([chunk async for chunk in answer.chunks])


@pytest.mark.parametrize(
    "head",
    [
        OK + b"X-Policy: " + b"y" * 9_000 + b"\r\n",
        OK + b"X-Policy: " + b"y" * 60_000 + b"\r\n",
        OK + b"".join(b"X-%d: y\r\n" % number for number in range(200)),
        OK + b"".join(b"X-%d: %s\r\n" % (number, b"y" * 1_000) for number in range(200)),
        OK + b"X" * 9_000 + b": y\r\n",
        b"HTTP/1.1 200 " + b"O" * 9_000 + b"K\r\n",
    ],
    ids=lambda head: f"{head[17:27]!r} {len(head)}",
)
async def test_a_large_head_is_read(head: bytes) -> None:
    async with answering(head + END) as source:
        assert await read(source) == b"ok"


async def test_the_status_of_a_refusal_with_a_large_head() -> None:
    refusal = b"HTTP/1.1 404 Not Found\r\nX: " + b"y" * 9_000 + b"\r\nContent-Length: 0\r\n\r\n"
    async with answering(refusal) as source:
        with pytest.raises(NotFound, match=r"\(404\)"):
            await read(source)


LONG = b"X: " + b"y" * 70_000 + b"\r\n"
UNREADABLE = {
    "a long line": (OK + COOKIE + LONG + END, 200, "longer than 64 KiB"),
    "a long line of a refusal": (b"HTTP/1.1 503 No\r\n" + LONG + END, 503, "longer than 64 KiB"),
    "a long name": (OK + b"X" * 70_000 + b": y\r\n" + END, 200, "longer than 64 KiB"),
    "many lines": (OK + COOKIE + b"X: y\r\n" * 600 + END, 200, "more than 512 lines"),
    "the length twice": (OK + COOKIE + b"Content-Length: 2\r\n" + END, 200, "twice"),
    "two lengths": (OK + COOKIE + b"Content-Length: 3\r\n" + END, 200, "twice"),
    "a list of lengths": (OK + b"Content-Length: 2, 2\r\n\r\nok", 200, "not a number"),
    "a negative length": (OK + b"Content-Length: -2\r\n\r\nok", 200, "not a number"),
    "an endless length": (
        OK + b"Content-Length: " + b"9" * 99 + b"\r\n\r\nok",
        200,
        "not a number",
    ),
    "two framings": (OK + b"Transfer-Encoding: chunked\r\n" + END, 200, "Transfer-Encoding"),
    "no colon": (OK + COOKIE + b"no colon\r\n" + END, 200, "no header"),
    "a blank in a name": (OK + b"X : y\r\n" + END, 200, "no header"),
    "no status": (b"HTTP/1.1 2000 OK\r\n" + END, 0, "not begin as HTTP"),
    "a mail server": (b"220 mail.example ESMTP\r\n", 0, "not begin as HTTP"),
    "a page": (b"<html>secret-session-value</html>", 0, "not begin as HTTP"),
}


@pytest.mark.parametrize("what", UNREADABLE)
async def test_a_head_that_cannot_be_read(what: str) -> None:
    answer, status, reason = UNREADABLE[what]
    async with answering(answer) as source:
        with pytest.raises(SourceError) as caught:
            await read(source)
    text = f"{caught.value} {caught.value.next_step}"
    assert isinstance(caught.value, InvalidResponse)
    assert reason in text
    assert (f"(status {status})" in text) == bool(status)
    assert [each for each in AIOHTTP if each in text] == []


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ((), "it was closed before the answer"),
        ((OK + b"Content-Length: 9\r\n\r\nok",), "it was closed in the middle of the answer"),
        ((OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",), "it was closed in the middle"),
    ],
)
async def test_a_connection_that_is_closed(answers: tuple[bytes, ...], reason: str) -> None:
    async with answering(*answers, close=True) as source:
        with pytest.raises(Interrupted, match="the connection broke: ") as caught:
            await read(source)
    assert reason in str(caught.value)


async def test_a_body_that_is_not_framed_as_http_requires() -> None:
    async with answering(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nok") as source:
        with pytest.raises(SourceError) as caught:
            await read(source)
    assert [each for each in AIOHTTP if each in str(caught.value)] == []


# Of two paths the second asks on a connection of its own.
@pytest.mark.parametrize("both_paths", [HttpPath.AIOHTTP], indirect=True)
async def test_the_status_is_that_of_the_answer_that_failed() -> None:
    """The second on one connection."""
    async with answering(OK + END, b"HTTP/1.1 502 Bad Gateway\r\n" + LONG + END) as source:
        assert await read(source) == b"ok"
        with pytest.raises(InvalidResponse, match=r"\(status 502\).*64 KiB"):
            await read(source)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        # aiohttp's parser in Python has other words.
        ("Got more than 8190 bytes when reading: b'yyy'", "longer than"),
        ("Too many headers received", "lines"),
        ("Duplicate 'Content-Length' header found.", "twice"),
        ("Content-Length can't be present with Transfer-Encoding", "Transfer-Encoding"),
        ("Invalid HTTP header: b'x'", "no header"),
        ("Bad status line 'x'", "not begin"),
        ("whatever comes next", "not valid HTTP"),
        ("", "not valid HTTP"),
    ],
)
def test_reasons(text: str, reason: str) -> None:
    assert reason in describe_unreadable(200, text)
    assert "whatever" not in describe_unreadable(200, text)
