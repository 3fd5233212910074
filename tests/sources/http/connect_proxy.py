"""A proxy on loopback, for tests: it joins its clients to one server, and hears what they say."""

import asyncio
import base64
import contextlib
import socket
import ssl
import threading
from typing import Self
from urllib.parse import quote

from cxrsync.demo.server.server import MiniPhysioNet

# A name that only the proxy can resolve.
NAME = "physionet.test"

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
WANTS_PASSWORD = (
    b"HTTP/1.1 407 Proxy Authentication Required\r\n"
    b'Proxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n'
)


class ConnectProxy:
    """A proxy in a thread of its own, which takes every name for the server at ``port``.

    ``heads``: what it was asked, as it came; ``tunnel``: what clients sent through it. ``pair`` is
    the user:password that it wants; ``answer`` what it says instead of serving (empty: nothing,
    and hangs up; None: it serves); ``silent``: it neither answers nor hangs up.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        pair: str | None = None,
        answer: bytes | None = None,
        silent: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.heads: list[bytes] = []
        self.tunnel = bytearray()
        self._target = port
        self._expected = pair and b"Basic " + base64.b64encode(pair.encode())
        self._answer = answer
        self._silent = silent
        self._tls = tls

    def address(self, pair: str | None = None) -> str:
        """For a variable, with ``user:password`` in it."""
        user, _, password = (pair or "").partition(":")
        who = f"{quote(user, '')}:{quote(password, '')}@" if pair else ""
        return f"{'https' if self._tls else 'http'}://{who}127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        started = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(started),))
        self._thread.start()
        started.wait()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.add(asyncio.ensure_future(self._converse(reader, writer)))

        async with await asyncio.start_server(accept, sock=self._socket, ssl=self._tls):
            started.set()
            await self._over.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            if self._silent:
                await reader.read()
            elif self._answer is not None:
                writer.write(self._answer)
                await writer.drain()
            elif self._expected and field(head, b"Proxy-Authorization") != self._expected:
                writer.write(WANTS_PASSWORD)
                await writer.drain()
            else:
                await self._join(reader, writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        with contextlib.closing(far_writer):
            writer.write(ESTABLISHED)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(reader, far_writer, self.tunnel))
                both.create_task(self._carry(far_reader, writer, bytearray()))

    async def _carry(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, seen: bytearray
    ) -> None:
        while chunk := await source.read(1 << 16):
            seen += chunk
            sink.write(chunk)
            await sink.drain()
        sink.close()


def field(head: bytes, name: bytes) -> bytes | None:
    lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
    return lines.get(name)


def known_as(server: MiniPhysioNet, name: str) -> MiniPhysioNet:
    """Give a server that has not started yet a certificate for another name."""
    authority = server._authority
    authority._certificate = authority._ca.issue_cert(name)
    return server
