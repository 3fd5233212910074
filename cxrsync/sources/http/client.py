"""The connections of a source: sends single requests, and says why one got no answer.

It knows no credentials and follows no redirect: who a request is from, its source decides.

If the server closes an idle connection (its keep-alive time is over) just when a request is sent,
aiohttp sends the request again, as RFC 9112 section 9.3.1 allows: no failure, and no delay.
"""

from __future__ import annotations

import asyncio
import socket
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import aiohttp
from aiohttp.abc import AbstractCookieJar
from yarl import URL

from cxrsync.config.job import HttpPath, SourceConfig, TransferLimits
from cxrsync.errors import CxrsyncError
from cxrsync.sources.http.buffers import read_buffer
from cxrsync.sources.http.failures import explain_failure
from cxrsync.sources.http.lean.client import LeanClient
from cxrsync.sources.http.lean.head import OddAnswer
from cxrsync.sources.http.lean.pool import PoolOptions
from cxrsync.sources.http.proxy import Proxy, proxy_for
from cxrsync.sources.http.response import Response
from cxrsync.sources.http.response_head import MAX_LINE_BYTES, MAX_LINES, StatusConnector
from cxrsync.sources.http.silence import SilenceWatch
from cxrsync.sources.http.timeouts import RequestTimeouts
from cxrsync.sources.http.tls import client_context

# nginx closes an idle connection after 65 to 75 s. We close it earlier, so that no request is sent
# on a connection that is being closed.
_KEEPALIVE_SECONDS = 50.0
# A run of several weeks must notice that the server's address has changed.
_DNS_SECONDS = 300
# How long a peer has to answer the TLS close_notify.
_CLOSING_SECONDS = 0.25
# The body of an error response is read up to this size, so that the connection can be reused.
_MAX_REFUSAL_BYTES = 1 << 16
_MAX_REFUSAL_SECONDS = 5.0


class HttpClient:
    """Sends GET requests. ``watch`` is told when a request waits for the server.

    ``cookies``: where the cookies of the answers go. Create it inside a running event loop.
    """

    def __init__(
        self,
        origin: SourceConfig,
        limits: TransferLimits,
        watch: SilenceWatch,
        *,
        cookies: AbstractCookieJar,
    ) -> None:
        self.requests = 0
        self._proxies: dict[tuple[str, str], Proxy | None] = {}
        self._watch = watch
        self._limits = limits
        self._buffer = read_buffer(limits)
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._proxy(URL(origin.base_url))  # an unusable one is an error before any request
        context = client_context(origin.ca_file)
        self._lean: LeanClient | None = None
        if origin.http is HttpPath.LEAN:
            self._lean = LeanClient(
                PoolOptions(
                    context=context,
                    make_socket=self._make_socket,
                    most=limits.connections,
                    buffer=self._buffer,
                    idle_seconds=_KEEPALIVE_SECONDS,
                    closing_seconds=_CLOSING_SECONDS,
                ),
                limits,
                origin.user_agent,
                cookies,
            )
        self._http = aiohttp.ClientSession(
            connector=StatusConnector(
                limit=limits.connections,
                ssl=context,
                ttl_dns_cache=_DNS_SECONDS,
                keepalive_timeout=_KEEPALIVE_SECONDS,
                socket_factory=self._make_socket,
            ),
            cookie_jar=cookies,
            headers={"User-Agent": origin.user_agent},
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=None,
                sock_connect=limits.connect_timeout,
                sock_read=limits.stall_timeout,
            ),
            # trust_env would send a netrc's password with the first request, even from a file that
            # others can read, and its errors would quote a proxy's password.
            trust_env=False,
            trace_configs=[RequestTimeouts.tracing(limits)],
            auto_decompress=False,
            read_bufsize=self._buffer,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            max_headers=MAX_LINES,
        )

    async def get(self, url: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """GET ``url``, whatever its status. The caller closes the response.

        Raises Unreachable, Interrupted, InvalidResponse; for a refusal by the proxy
        CredentialsRefused or AccessDenied.
        """
        self.requests += 1
        return await self._get_by_aiohttp(url, headers)

    async def get_file(self, url: URL, headers: Mapping[str, str]) -> Response:
        """GET ``url`` as :meth:`get` does, in less time where the answer is as simple as those with
        a file are. If it is odd, aiohttp asks once more, and its answer holds."""
        self.requests += 1
        if self._lean is None or not self._lean.of_use or self._proxy(url) is not None:
            return await self._get_by_aiohttp(url, headers)
        timeouts = RequestTimeouts(self._watch)
        response: Response | None = None
        arrived = False
        try:
            async with timeouts.deadline:
                response = await self._lean.get(url, headers, timeouts)
            arrived = True
        except OddAnswer:
            arrived = True
        except (aiohttp.ClientError, OSError, UnicodeError) as problem:
            raise self._failure(problem, url, None, connected=timeouts.connected) from None
        finally:
            timeouts.leave(arrived=arrived)
        return response or await self._get_by_aiohttp(url, headers)

    async def _get_by_aiohttp(self, url: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        sent, proxy = dict(headers), self._proxy(url)
        through: dict[str, Any] = {}
        if proxy is not None:
            through = {"proxy": proxy.url}
            if url.scheme == "https":  # for CONNECT only: the proxy cannot read the request inside
                through["proxy_headers"] = proxy.headers
            else:
                sent |= proxy.headers
        timeouts = RequestTimeouts(self._watch)
        arrived = False
        try:
            async with timeouts.deadline:
                response = await self._http.get(
                    url, headers=sent, allow_redirects=False, trace_request_ctx=timeouts, **through
                )
            arrived = True
        except (aiohttp.ClientError, OSError, UnicodeError) as problem:
            raise self._failure(problem, url, proxy, connected=timeouts.connected) from None
        finally:
            timeouts.leave(arrived=arrived)
        if response.status == 407 and proxy is not None and url.scheme == "http":
            await drain(response)
            raise proxy.refusal(407, url.host)
        return response

    async def close(self) -> None:
        """Close every connection.

        aiohttp does not wait for connections in the middle of a response. An event loop that ended
        before them would warn of an unclosed transport.
        """
        if self._lean is not None:
            self._lean.close()
        await self._http.close()
        if not await self._are_closed():  # a peer that does not answer the TLS close_notify
            for each in self._sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            await self._are_closed()

    async def _are_closed(self) -> bool:
        """Return whether all connections end soon."""
        deadline = asyncio.get_running_loop().time() + _CLOSING_SECONDS
        while any(each.fileno() >= 0 for each in self._sockets):
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.001)
        return True

    def _make_socket(self, info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _name, _address = info
        made = socket.socket(family, kind, protocol)
        if self._limits.rate.slowest is not None:
            # Otherwise the system would receive megabytes, however little we read.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer)
        self._sockets.add(made)
        return made

    def _proxy(self, url: URL) -> Proxy | None:
        server = url.scheme, url.raw_authority
        if server not in self._proxies:
            self._proxies[server] = proxy_for(str(url.origin()))
        return self._proxies[server]

    def _failure(
        self, problem: Exception, url: URL, proxy: Proxy | None, *, connected: bool
    ) -> CxrsyncError:
        """Return the error for a request that got no response head."""
        if isinstance(problem, aiohttp.ClientHttpProxyError) and proxy is not None:
            return proxy.refusal(problem.status, url.host)
        return explain_failure(
            problem, url, proxy, connected=connected, stall_timeout=self._limits.stall_timeout
        )


async def drain(response: Response) -> None:
    """Finish a response whose body does not matter; keep its connection if that is cheap."""
    try:
        left = _MAX_REFUSAL_BYTES
        if (response.content_length or 0) <= left:
            async with asyncio.timeout(_MAX_REFUSAL_SECONDS):
                while left > 0 and not response.content.at_eof():
                    left -= len(await response.content.readany())
    except (aiohttp.ClientError, OSError, TimeoutError):
        pass
    finally:
        response.close() if not response.content.at_eof() else response.release()
