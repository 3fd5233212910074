"""The server's TCP connections: their number, and the rate of each."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from cxrsync.demo.server.request_log import RequestLog

CHUNK = 256 * 1024  # bytes that are read, written and buffered at once

_MAX_SAVED = 0.2  # seconds
_SHUTDOWN_SECONDS = 2.0

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connection:
    """One TCP connection, which may carry several requests."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self._due_at = 0.0

    def begin(self) -> None:
        """Begin a body: idle time before it is not made up for."""
        self._due_at = max(self._due_at, asyncio.get_running_loop().time())

    async def wait_for_rate(self, nbytes: int, rate: int) -> None:
        """Wait until `nbytes` more may be written at `rate` bytes per second."""
        now = asyncio.get_running_loop().time()
        self._due_at = due_at(self._due_at, now, nbytes, rate)
        await asyncio.sleep(self._due_at - now)


def due_at(before: float, now: float, nbytes: int, rate: int) -> float:
    """Return when `nbytes` more are due, if all earlier ones are due at `before`.

    The schedule is absolute, so that late timers do not add up. But time that a client loses by
    reading too slowly is made up for only up to a fifth of a second. Times are in seconds of one
    clock.
    """
    return max(before, now - _MAX_SAVED) + nbytes / rate


class ConnectionListener:
    """Accepts connections while there are fewer than `limit()`, and closes the others at once.

    `cuts(number)`: whether the connection with this number (from 1) is dropped in its TLS
    handshake.
    """

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
        self._lost = Connection()  # for a client that ends before its request is handled
        self._lost.gone.set()

    def connection_of(self, request: web.BaseRequest) -> Connection:
        """Return the connection of a request."""
        return self._protocols.by_handler.get(request.protocol, self._lost)

    async def serve(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Serve until cancelled; every connection is closed by then."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    client, _ = await loop.sock_accept(listening)
                except OSError:  # the client is gone already, or too many files are open
                    await asyncio.sleep(0.05)
                    continue
                limit = self._limit()
                if limit is not None and self._request_log.open_connections >= limit:
                    self._request_log.refused()
                    client.close()
                    continue
                self._request_log.connected()
                if self._cuts(self._request_log.connections):
                    tasks.create_task(self._drop(client))
                    continue
                tasks.create_task(self._serve_connection(client, tls))

    async def _drop(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().sock_recv(client, CHUNK)
        client.close()
        self._request_log.disconnected()

    async def _serve_connection(self, client: socket.socket, tls: ssl.SSLContext | None) -> None:
        # Small buffers, so that the bytes counted are nearly the bytes delivered.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHUNK)
        protocol = self._protocols()
        connection = self._protocols.by_handler[protocol] = Connection()
        transport = None
        try:
            # A handshake that fails is no error of the server.
            with contextlib.suppress(OSError):
                transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: protocol,
                    client,
                    ssl=tls,
                    ssl_shutdown_timeout=None if tls is None else _SHUTDOWN_SECONDS,
                )
                transport.set_write_buffer_limits(high=CHUNK)
                await connection.gone.wait()
        finally:
            if transport is not None:
                transport.abort()
                await connection.gone.wait()
            del self._protocols.by_handler[protocol]
            self._request_log.disconnected()


class _Protocols(web.Server):
    """aiohttp's factory of protocols, and the connection of each."""

    def __init__(self, handle: Handle) -> None:
        # 75 seconds is nginx's keepalive_timeout.
        super().__init__(handle, access_log=None, keepalive_timeout=75.0)
        self.by_handler: dict[RequestHandler, Connection] = {}

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        if connection := self.by_handler.get(handler):
            connection.gone.set()
