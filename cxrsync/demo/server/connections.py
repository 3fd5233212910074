"""The server's TCP connections: how many there are, and how fast each may be written to."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from cxrsync.demo.server.request_log import RequestLog

CHUNK = 256 * 1024  # bytes: what is read, written and buffered at once

_CREDIT = 0.2  # seconds
_SHUTDOWN_SECONDS = 2.0

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Line:
    """One TCP connection, whatever the number of its requests."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self._free_at = 0.0

    def begin(self) -> None:
        """Start a body: a line that has been idle has saved nothing up."""
        self._free_at = max(self._free_at, asyncio.get_running_loop().time())

    async def take_turn(self, nbytes: int, rate: int) -> None:
        """Wait until `nbytes` more may be written at `rate` bytes per second."""
        now = asyncio.get_running_loop().time()
        self._free_at = next_free(self._free_at, now, nbytes, rate)
        await asyncio.sleep(self._free_at - now)


def next_free(free_at: float, now: float, nbytes: int, rate: int) -> float:
    """Return when a line that is free at `free_at` will have carried `nbytes` more.

    The schedule is absolute, so that timers that fire late do not add up; but what a client
    loses by reading too slowly it gets back for the last fifth of a second only. All times in
    seconds of one clock.
    """
    return max(free_at, now - _CREDIT) + nbytes / rate


class ConnectionListener:
    """Lets connections in while there are fewer than `limit()`, and closes the others at once;
    `cuts(number)` tells of each, counted from 1, whether it is dropped in its TLS handshake."""

    def __init__(
        self,
        handle: Handle,
        request_log: RequestLog,
        limit: Callable[[], int | None],
        cuts: Callable[[int], bool],
    ) -> None:
        self._protocols = _Protocols(handle)
        self._request_log = request_log
        self._limit = limit
        self._cuts = cuts
        self._lost = Line()  # a client can be gone before its request is looked at
        self._lost.gone.set()

    def line_of(self, request: web.BaseRequest) -> Line:
        """Return the connection that a request came by."""
        return self._protocols.lines.get(request.protocol, self._lost)

    async def serve(self, listening: socket.socket, tls: ssl.SSLContext) -> None:
        """Serve until cancelled; every connection is closed by then."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as conversations:
            while True:
                try:
                    connection, _ = await loop.sock_accept(listening)
                except OSError:  # the client is gone already, or we have too many files open
                    await asyncio.sleep(0.05)
                    continue
                limit = self._limit()
                if limit is not None and self._request_log.open_connections >= limit:
                    self._request_log.refused()
                    connection.close()
                    continue
                self._request_log.connected()
                if self._cuts(self._request_log.connections):
                    conversations.create_task(self._hang_up(connection))
                    continue
                conversations.create_task(self._converse(connection, tls))

    async def _hang_up(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().sock_recv(connection, CHUNK)
        connection.close()
        self._request_log.disconnected()

    async def _converse(self, connection: socket.socket, tls: ssl.SSLContext) -> None:
        # Small buffers, so that bytes counted are very nearly bytes delivered.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHUNK)
        protocol = self._protocols()
        line = self._protocols.lines[protocol] = Line()
        transport = None
        try:
            # A handshake that fails is the client's affair.
            with contextlib.suppress(OSError):
                transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: protocol, connection, ssl=tls, ssl_shutdown_timeout=_SHUTDOWN_SECONDS
                )
                transport.set_write_buffer_limits(high=CHUNK)
                await line.gone.wait()
        finally:
            if transport is not None:
                transport.abort()
                await line.gone.wait()
            del self._protocols.lines[protocol]
            self._request_log.disconnected()


class _Protocols(web.Server):
    """aiohttp's factory of protocols, and the line that each belongs to."""

    def __init__(self, handle: Handle) -> None:
        # 75 seconds is nginx's keepalive_timeout.
        super().__init__(handle, access_log=None, keepalive_timeout=75.0)
        self.lines: dict[RequestHandler, Line] = {}

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        if line := self.lines.get(handler):
            line.gone.set()
