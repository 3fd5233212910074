"""GETs of files on kept connections: the answer of the server, or that it is odd."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp
from aiohttp.abc import AbstractCookieJar
from yarl import URL

from cxrsync.config.job import TransferLimits
from cxrsync.sources.http.lean.connection import Answer, Connection
from cxrsync.sources.http.lean.head import OddAnswer
from cxrsync.sources.http.lean.pool import ConnectionPool, PoolOptions
from cxrsync.sources.http.lean.request import get_request
from cxrsync.sources.http.timeouts import RequestTimeouts

# Each odd answer costs a second request. A server that gives more of them is left to aiohttp.
_MOST_ODD = 8


class LeanClient:
    """Sends GETs. ``cookies``: where those of the answers go, and those of the requests come from.
    Create it inside a running event loop."""

    def __init__(
        self,
        options: PoolOptions,
        limits: TransferLimits,
        user_agent: str,
        cookies: AbstractCookieJar,
    ) -> None:
        self._pool = ConnectionPool(options)
        self._limits = limits
        self._user_agent = user_agent
        self._cookies = cookies
        self._odd = 0

    @property
    def of_use(self) -> bool:
        """Whether requests are worth sending here: not after many odd answers."""
        return self._odd < _MOST_ODD

    async def get(self, url: URL, headers: Mapping[str, str], timeouts: RequestTimeouts) -> Answer:
        """Return the answer, whatever its status. The caller closes it.

        Raises OddAnswer: nothing of the answer was handed out, and the caller asks aiohttp. And
        OSError, UnicodeError, aiohttp.ServerDisconnectedError.
        """
        request = get_request(url, self._user_agent, headers, self._cookies.filter_cookies(url))
        try:
            answer = await self._send(url, request, timeouts)
        except OddAnswer:
            self._odd += 1
            if not self.of_use:
                self._pool.close_idle()
            raise
        if cookies := answer.headers.getall("Set-Cookie", []):
            self._cookies.update_cookies_from_headers(cookies, url)
        return answer

    def close(self) -> None:
        """Close every connection. They are gone a moment later."""
        self._pool.close()

    async def _send(self, url: URL, request: bytes, timeouts: RequestTimeouts) -> Answer:
        """Send the request; once more, on a fresh connection, if the server closes the first before
        its answer: its keep-alive time may have been over (RFC 9112 section 9.3.1)."""
        connection = await self._connection(url, timeouts, fresh=False)
        try:
            return await connection.send(request, url)
        except (aiohttp.ServerDisconnectedError, OSError):
            connection = await self._connection(url, timeouts, fresh=True)
            return await connection.send(request, url)

    async def _connection(self, url: URL, timeouts: RequestTimeouts, *, fresh: bool) -> Connection:
        pool = self._pool
        origin = url.scheme, url.raw_host or "", url.port
        if pool.places.locked():
            # No limit until a connection is free: the bodies of other answers have none either.
            timeouts.enter(None, connected=False)
        await pool.places.acquire()
        try:
            connection = None if fresh else pool.take_idle(origin)
            if connection is None:
                timeouts.enter(self._limits.connect_timeout, connected=False)
                connection = await pool.connect(origin)
        except BaseException:
            pool.places.release()
            raise
        timeouts.enter(self._limits.stall_timeout, connected=True)
        return connection
