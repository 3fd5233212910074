"""GETs of files by both ways: the same bytes go out, and the same is told of what comes back."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import trustme
from yarl import URL

from cxrsync.config.job import HttpPath, SourceConfig, TransferLimits
from cxrsync.config.timetable import Timetable
from cxrsync.errors import CxrsyncError
from cxrsync.sources.http import client as client_module
from cxrsync.sources.http.client import HttpClient
from cxrsync.sources.http.silence import SilenceWatch

BOTH = list(HttpPath)
LIMITS = TransferLimits(connections=2, connect_timeout=2.0, stall_timeout=0.3)
TWO = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
COOKIES = (
    b'HTTP/1.1 401 No\r\nSet-Cookie: sessionid=a.b-c:d; Path=/; HttpOnly\r\nSet-Cookie: z="x y"\r\n'
    b'Set-Cookie: csrf="1\\0542"; Path=/\r\nContent-Length: 0\r\n\r\n'
)


class Server:
    """Answers each request of each connection with the next of ``answers``, and the last for ever.

    ``seen``: the requests; ``connections``: how many were made."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.seen: list[bytes] = []
        self.connections = 0

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            while True:
                self.seen.append(await reader.readuntil(b"\r\n\r\n"))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                writer.write(answer)
                await writer.drain()
                if b"Connection: close" in answer or not answer:
                    return


@asynccontextmanager
async def served(server: Server, tls: ssl.SSLContext | None = None) -> AsyncIterator[URL]:
    async with await asyncio.start_server(server.converse, "127.0.0.1", ssl=tls) as listening:
        scheme = "http" if tls is None else "https"
        yield URL(f"{scheme}://127.0.0.1:{listening.sockets[0].getsockname()[1]}/files")


@asynccontextmanager
async def client(
    url: URL, path: HttpPath, ca_file: Path | None = None, limits: TransferLimits = LIMITS
) -> AsyncIterator[HttpClient]:
    watch = SilenceWatch("host", lambda _event: None)
    origin = SourceConfig(base_url=str(url), http=path, ca_file=ca_file)
    made = HttpClient(origin, limits, watch, cookies=aiohttp.CookieJar(unsafe=True))
    try:
        async with asyncio.timeout(30):
            yield made
    finally:
        watch.close()
        await made.close()


async def body(asked: HttpClient, url: URL, **headers: str) -> tuple[int, bytes]:
    response = await asked.get_file(url, {"Accept-Encoding": "identity", **headers})
    data = b""
    try:
        while piece := await response.content.readany():
            data += piece
    finally:
        response.close()
    return response.status, data


async def test_the_same_requests_go_out() -> None:
    seen = []
    for path in BOTH:
        server = Server(COOKIES, TWO)
        async with served(server) as url, client(url, path) as asked:
            odd = url / "a b#?%20+é&=.bin"
            assert (await body(asked, odd, Range="bytes=5-", **{"If-Range": '"x"'}))[0] == 401
            assert await body(asked, odd, Authorization="Session") == (200, b"ok")
            where = str(url.port).encode()
        seen.append([each.replace(where, b"PORT") for each in server.seen])
        assert b'Cookie: csrf="1\\0542"; sessionid=a.b-c:d; z="x y"\r\n' in server.seen[1]
    assert seen[0] == seen[1]


async def test_a_connection_is_used_again_and_no_more_than_are_allowed() -> None:
    server = Server(TWO)
    async with served(server) as url, client(url, HttpPath.LEAN) as asked:
        for _ in range(3):
            await asyncio.gather(*(body(asked, url) for _ in range(6)))
        assert asked.requests == len(server.seen) == 18
    assert server.connections == LIMITS.connections


async def test_an_odd_answer_is_asked_for_once_more_and_counted_once() -> None:
    server = Server(TWO, CHUNKS)
    async with served(server) as url, client(url, HttpPath.LEAN) as asked:
        assert await body(asked, url) == (200, b"ok")
        assert await body(asked, url) == (200, b"ok")
        assert (asked.requests, len(server.seen)) == (2, 3)


async def test_a_server_of_odd_answers_is_left_to_aiohttp() -> None:
    server = Server(CHUNKS)
    async with served(server) as url, client(url, HttpPath.LEAN) as asked:
        for _ in range(20):
            assert await body(asked, url) == (200, b"ok")
    assert len(server.seen) == 20 + 8


async def test_an_idle_connection_is_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_KEEPALIVE_SECONDS", 0.05)
    server, ended = Server(TWO), asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.converse(reader, writer)
        ended.set()

    async with await asyncio.start_server(converse, "127.0.0.1") as listening:
        url = URL(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/")
        async with client(url, HttpPath.LEAN) as asked:
            await body(asked, url)
            await asyncio.wait_for(ended.wait(), 5)
            await body(asked, url)
    assert server.connections == 2


@pytest.mark.parametrize("path", BOTH)
async def test_a_cancelled_request_leaves_nothing(path: HttpPath) -> None:
    server = Server(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", TWO)
    async with served(server) as url, client(url, path) as asked:
        stuck = [asyncio.create_task(body(asked, url)) for _ in range(LIMITS.connections)]
        while len(server.seen) < 2:
            await asyncio.sleep(0.001)
        for each in stuck:
            each.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)


# ── what goes wrong ────────────────────────────────────────────────────────────────────────────


async def told(url: URL, path: HttpPath, ca_file: Path | None = None) -> tuple[str, ...]:
    """The class, the words and the advice of the error, without the port."""
    async with client(url, path, ca_file) as asked:
        with pytest.raises(CxrsyncError) as caught:
            await body(asked, url)
    problem = caught.value
    return type(problem).__name__, str(problem), str(problem.next_step)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/", "http://nowhere.invalid/", f"http://{'a' * 64}.example/"],
    ids=["refused", "unknown", "too long"],
)
async def test_a_server_that_is_not_there(url: str) -> None:
    assert await told(URL(url), HttpPath.LEAN) == await told(URL(url), HttpPath.AIOHTTP)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nConnection: close\r\n", b"HTTP/1.1 2", b"220 mail\r\n"]
)
async def test_an_answer_without_a_head(answer: bytes) -> None:
    said = []
    for path in BOTH:
        async with served(Server(answer)) as url:
            said.append(await told(url, path))
    assert said[0] == said[1]


async def test_tls(tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca"))
    elsewhere = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("other.example").configure_cert(elsewhere)
    server = Server(TWO)
    async with served(server, context) as url, client(url, HttpPath.LEAN, tmp_path / "ca") as asked:
        assert await body(asked, url) == (200, b"ok")
        assert await body(asked, url) == (200, b"ok")
    assert server.connections == 1
    for certificate, ca_file in ((context, None), (elsewhere, tmp_path / "ca")):
        async with served(Server(TWO), certificate) as url:
            lean = await told(url, HttpPath.LEAN, ca_file)
            assert lean[0] == "Untrusted"
            assert lean == await told(url, HttpPath.AIOHTTP, ca_file)


async def close_after_hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End in the middle of a handshake."""
    await reader.read(1 << 16)
    writer.close()


async def speak_smtp(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP\r\n")
    await writer.drain()
    writer.close()


@pytest.mark.parametrize("server", [close_after_hello, speak_smtp])
async def test_a_server_that_makes_no_handshake(
    server: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> None:
    async with await asyncio.start_server(server, "127.0.0.1") as listening:
        url = URL(f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}/")
        lean = await told(url, HttpPath.LEAN)
        assert lean[0] == "Unreachable"
        assert lean == await told(url, HttpPath.AIOHTTP)


async def test_a_server_whose_addresses_fail_for_several_reasons(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def addresses(_host: str, _port: int, **_options: object) -> list[tuple[object, ...]]:
        both = "127.0.0.1", "255.255.255.255"  # refused, and no host's
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 1)) for each in both]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", addresses)
    name, words, _ = await told(URL("http://two.example/"), HttpPath.LEAN)
    assert name == "Unreachable" == (await told(URL("http://two.example/"), HttpPath.AIOHTTP))[0]
    assert words == "cannot reach two.example: none of its addresses answers"


async def test_a_server_that_closes_while_we_are_slow(tmp_path: Path) -> None:
    """What has arrived before the end is not lost, however slowly it is taken."""
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca"))
    data = bytes(range(256)) * 800

    def answer(listening: socket.socket) -> None:
        with context.wrap_socket(listening.accept()[0], server_side=True) as peer:
            peer.recv(1 << 16)
            peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
            peer.sendall(b"Content-Length: %d\r\n\r\n" % len(data) + data)

    slow = replace(LIMITS, rate=Timetable(otherwise=40_000.0))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = URL(f"https://127.0.0.1:{listening.getsockname()[1]}/")
        async with client(url, HttpPath.LEAN, tmp_path / "ca", slow) as asked:
            answered = asyncio.create_task(asyncio.to_thread(answer, listening))
            response = await asked.get_file(url, {"Accept-Encoding": "identity"})
            await answered
            for _ in range(1000):  # until the end of the connection has arrived
                await asyncio.sleep(0)
            taken = b""
            while piece := await response.content.readany():
                taken += piece
            response.close()
    assert taken == data


@pytest.mark.parametrize("path", BOTH)
async def test_an_answer_that_nobody_asked_for(path: HttpPath) -> None:
    """It is not taken for the answer to the next request, and each answer for that of the next."""
    data = bytes(range(256)) * 2000
    more = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"
    server = Server(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data + more)
    async with asyncio.timeout(10), served(server) as url, client(url, path) as asked:
        for _ in range(5):
            assert await body(asked, url) == (200, data)


@pytest.mark.parametrize("path", BOTH)
async def test_a_peer_that_does_not_answer_a_farewell(tmp_path: Path, path: HttpPath) -> None:
    """Nothing is open after the end, which comes soon."""
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca"))

    def answer(listening: socket.socket) -> ssl.SSLSocket:
        peer = context.wrap_socket(listening.accept()[0], server_side=True)
        peer.recv(1 << 16)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
        return peer

    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = URL(f"https://127.0.0.1:{listening.getsockname()[1]}/")
        async with client(url, path, tmp_path / "ca") as asked:
            answered = asyncio.create_task(asyncio.to_thread(answer, listening))
            (await asked.get_file(url, {"Accept-Encoding": "identity"})).close()
        assert [each for each in asked._sockets if each.fileno() >= 0] == []
        (await answered).close()


@pytest.mark.parametrize("more", [b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 100_000])
@pytest.mark.parametrize("connection", [b"keep-alive", b"close"])
async def test_bytes_behind_a_body(tmp_path: Path, connection: bytes, more: bytes) -> None:
    """They end the connection, and nothing else."""
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca"))
    data = bytes(range(256)) * 2000
    head = b"HTTP/1.1 200 OK\r\nConnection: %b\r\nContent-Length: %d\r\n\r\n"
    server = Server(head % (connection, len(data)) + data + more)
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, told: problems.append(told))
    async with (
        asyncio.timeout(10),
        served(server, context) as url,
        client(url, HttpPath.LEAN, tmp_path / "ca") as asked,
    ):
        for _ in range(3):
            assert await body(asked, url) == (200, data)
    assert server.connections == 3
    assert not problems
