"""Connections to servers: made, kept while they are idle, and closed."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohappyeyeballs
import aiohttp

from cxrsync.sources.http.lean.connection import Connection

# RFC 8305 section 5: how long one address may take before the next is tried, too.
_NEXT_ADDRESS_SECONDS = 0.25


Origin = tuple[str, str, int | None]
"""Scheme, host (as the name system knows it) and port of a server."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How connections are made and kept.

    ``most``: how many are at work at a time, and so how many are kept at most; ``buffer``: how many
    bytes each reads ahead; ``idle_seconds``: how long an idle one is kept; ``closing_seconds``: how
    long a peer has to answer the farewell of TLS.
    """

    context: ssl.SSLContext
    make_socket: Callable[[tuple[Any, ...]], socket.socket]
    most: int
    buffer: int
    idle_seconds: float
    closing_seconds: float


class ConnectionPool:
    """Connections to any number of servers. Create it inside a running event loop."""

    def __init__(self, options: PoolOptions) -> None:
        self.places = asyncio.Semaphore(options.most)
        """One is taken for each request, until its answer is complete."""
        self._options = options
        self._idle: dict[Origin, list[Connection]] = {}
        self._working: dict[Connection, Origin] = {}
        self._open: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None

    def take_idle(self, origin: Origin) -> Connection | None:
        """Return the connection that was used last; None if there is none. The caller has a
        place."""
        kept = self._idle.get(origin, [])
        while kept:
            connection = kept.pop()
            if connection.usable and connection.idle_since > self._oldest():
                self._working[connection] = origin
                return connection
            connection.close()
        return None

    async def connect(self, origin: Origin) -> Connection:
        """Make a connection. The caller has a place. Raises OSError, UnicodeError,
        aiohttp.ServerDisconnectedError."""
        loop, options = asyncio.get_running_loop(), self._options
        scheme, host, port = origin
        found = await loop.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        made = await aiohappyeyeballs.start_connection(
            found,
            happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS,
            interleave=1,
            socket_factory=options.make_socket,
        )
        secure: dict[str, Any] = {}
        if scheme == "https":
            secure = {
                "ssl": options.context,
                "server_hostname": host.rstrip("."),
                "ssl_shutdown_timeout": options.closing_seconds,
            }
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(options.buffer, self._when_free, self._when_lost),
                sock=made,
                **secure,
            )
        except BaseException:
            # asyncio closes the socket; but it goes on with a handshake that was cancelled before
            # it began, unless the connection ends.
            with suppress(OSError):
                made.shutdown(socket.SHUT_RDWR)
            raise
        if not connection.usable:  # nobody would say again that it is lost
            connection.abort()
            raise aiohttp.ServerDisconnectedError
        self._open.add(connection)
        self._working[connection] = origin
        return connection

    def close_idle(self) -> None:
        """Close the connections that are idle."""
        for kept in self._idle.values():
            while kept:
                kept.pop().close()

    def close(self) -> None:
        """Close every connection. They are gone a moment later."""
        if self._timer is not None:
            self._timer.cancel()
        for connection in [*self._working]:
            connection.abort()
        for connection in [*self._open]:
            connection.close()
        self._idle.clear()

    def _when_free(self, connection: Connection) -> None:
        origin = self._working.pop(connection, None)
        if origin is None:
            return
        self.places.release()
        if not connection.usable:
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.setdefault(origin, []).append(connection)
        if self._timer is None:
            self._timer = loop.call_later(self._options.idle_seconds, self._close_old)

    def _when_lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        origin = self._working.pop(connection, None)
        if origin is not None:
            self.places.release()
        for kept in self._idle.values():
            if connection in kept:
                kept.remove(connection)

    def _oldest(self) -> float:
        return asyncio.get_running_loop().time() - self._options.idle_seconds

    def _close_old(self) -> None:
        self._timer = None
        oldest = self._oldest()
        for kept in self._idle.values():
            while kept and kept[0].idle_since <= oldest:
                kept.pop(0).close()
        since = [kept[0].idle_since for kept in self._idle.values() if kept]
        if since:
            loop = asyncio.get_running_loop()
            due = min(since) + self._options.idle_seconds
            self._timer = loop.call_at(due, self._close_old)
