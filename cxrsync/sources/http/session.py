"""One signed-in session, shared by every connection of a run: the handshake and its gate.

What PhysioNet does (published source, ``check_http_auth``): a request with a session cookie *and
any* ``Authorization`` header is let in without a look at the password; one with a password and no
session costs about half a second of the server's CPU. So:

1. the first request goes out bare; its 401 brings the test cookie that makes sessions possible;
2. one request, and only one, carries the password; its answer brings the session cookie;
3. from then on the cookie goes with ``Authorization: Session``, which carries no secret.

Point 3 is why a password that is changed in mid-run meets one more attempt and not one for each
connection: a session that has ended answers 401 without any password having been tried. The 401
closes the gate, one worker signs in anew, the others wait. Where a server gives no session cookie
(basic auth in front of plain files), or wants the password all the same, it is sent each time.

A 401 need not be the session's end: one path may answer it to everybody. So the worker at the gate
first asks for the address where the password was accepted, which is a manifest's, with the proof
that has just failed. Let in there, only that file is denied. Refused there too, the password goes
to that address, never to the path that failed.

A request that meets a connection which the server closes at that moment (its keep-alive is over)
is sent once more by aiohttp itself, as RFC 9112 section 9.3.1 has it: no failure, and no pause.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import weakref
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Never
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from cxrsync.config.job import SourceConfig, TransferLimits, is_loopback
from cxrsync.errors import (
    CredentialsRefused,
    CxrsyncError,
    FileDenied,
    Interrupted,
    InvalidResponse,
    SourceError,
    Unreachable,
    Untrusted,
    UsageError,
)
from cxrsync.sanitize import reason_of
from cxrsync.sources.credentials import Credentials
from cxrsync.sources.http.auth import AuthMethod, basic_header
from cxrsync.sources.http.proxy import Proxy, proxy_for
from cxrsync.sources.http.responses import TEMPORARY_REDIRECTS, TRY_LATER, refusal
from cxrsync.sources.http.timeouts import RequestTimeouts

# nginx closes an idle connection after 65 to 75 s; we let go first, so that no request meets
# a connection that is being closed.
_KEEPALIVE_SECONDS = 50.0
# A run of weeks must notice that the server has moved.
_DNS_SECONDS = 300
_READ_BUFFER = 1 << 18
_MIN_BUFFER = 1 << 12
# How long a peer has to answer the TLS farewell.
_CLOSING_SECONDS = 0.25
# A refusal's HTML is read to its end, so that the connection can serve again; more is not.
_MAX_REFUSAL_BYTES = 1 << 16
_MAX_REFUSAL_SECONDS = 5.0

_BY_SESSION = "Session"
# Where only the status matters.
_ONE_BYTE = {"Accept-Encoding": "identity", "Range": "bytes=0-0"}


class Session:
    """Requests to one origin, signed in at most once at a time.

    ``find_credentials`` is called when, and only when, the server first asks for them.
    """

    def __init__(
        self,
        origin: SourceConfig,
        limits: TransferLimits,
        find_credentials: Callable[[], Awaitable[Credentials]],
    ) -> None:
        self._secure = urlsplit(origin.base_url).scheme == "https" or is_loopback(
            urlsplit(origin.base_url).hostname
        )
        self._proxy = proxy_for(origin.base_url)
        self._find_credentials = find_credentials
        self._credentials: Credentials | None = None
        self._gate = asyncio.Lock()
        self._era = 0
        self._proof = AuthMethod.NONE
        self._cookie_suffices = True
        self._cookie_served = False
        self._refused: CredentialsRefused | None = None
        self._signed_in_at: URL | None = None
        self._files_are_public = False
        self.requests = 0
        self._limits = limits
        self._buffer = _READ_BUFFER
        if limits.rate is not None:  # each connection takes what it may in about a quarter second
            share = limits.rate / limits.connections / 4
            self._buffer = int(min(_READ_BUFFER, max(_MIN_BUFFER, share)))
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=limits.connections,
                ssl=_tls(origin),
                ttl_dns_cache=_DNS_SECONDS,
                keepalive_timeout=_KEEPALIVE_SECONDS,
                socket_factory=self._make_socket,
            ),
            # A jar drops the cookies of 127.0.0.1 unless told otherwise; it holds one origin's.
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            headers={"User-Agent": origin.user_agent},
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=None,
                sock_connect=limits.connect_timeout,
                sock_read=limits.stall_timeout,
            ),
            # trust_env would send a netrc's password on the first request, and from a file that
            # others can read; and its errors would quote a proxy's password.
            trust_env=False,
            trace_configs=[RequestTimeouts.tracing(limits)],
            auto_decompress=False,
            read_bufsize=self._buffer,
        )

    @property
    def user(self) -> str | None:
        """Who we are signed in as; None before the server has asked."""
        signed_in = self._proof is not AuthMethod.NONE and self._credentials is not None
        return self._credentials.username if signed_in and self._credentials else None

    async def get_public(self, url: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """GET what everyone may have: as nobody, and never signing in for it."""
        return await self._send(url, headers, AuthMethod.NONE)

    async def get(
        self, url: URL, headers: Mapping[str, str], sign_in_at: URL
    ) -> aiohttp.ClientResponse:
        """GET ``url``, signing in where that is asked for. The caller closes the response.

        ``sign_in_at``: an address that every reader may have; it counts until the password has been
        accepted somewhere. Never answers 401. Raises CredentialsRefused, FileDenied, Throttled,
        Unreachable, Interrupted, InvalidResponse.
        """
        while True:
            if self._gate.locked():  # somebody is signing in: what we would send has no value
                async with self._gate:
                    pass
            self._stop_if_refused()
            era, proof = self._era, self._proof
            response = await self._send(url, headers, proof)
            if response.status != 401:
                if proof is AuthMethod.COOKIE:
                    self._cookie_served = True
                elif proof is AuthMethod.NONE:
                    self._files_are_public |= response.status in {200, 206} and url != sign_in_at
                elif response.status in TEMPORARY_REDIRECTS and era == self._era:
                    # To a login page, or a site under repair: a request without the password tells.
                    self._proof = AuthMethod.NONE
                return response
            await drain(response)
            async with self._gate:
                self._stop_if_refused()
                if self._era != era:
                    continue  # another has signed in meanwhile
                known = self._signed_in_at or sign_in_at
                if url == known:
                    return await self._sign_in(url, headers, proof)
                await self._check_session(known, proof, url)

    async def _check_session(self, url: URL, proof: AuthMethod, denied: URL) -> None:
        """``denied`` has answered 401 to ``proof``: ask for ``url``, which every reader may have,
        and sign in there if that is refused too. The gate is held.

        Raises FileDenied where it is not: then only that path is closed to us. But if nothing else
        was ever let in without credentials, the manifest may be public and the files private: then
        the password goes to ``denied``.
        """
        response = await self._send(url, _ONE_BYTE, proof)
        await drain(response)
        if response.status == 401 or (proof is AuthMethod.NONE and not self._files_are_public):
            if response.status not in TRY_LATER:
                at = url if response.status == 401 else denied
                response = await self._sign_in(at, _ONE_BYTE, proof)
                await drain(response)
        elif response.status not in TRY_LATER:
            self._cookie_served |= proof is AuthMethod.COOKIE
            raise FileDenied("the server asks for a password for this file only (401)")
        if response.status in TRY_LATER:
            raise refusal(response.status, response.headers, datetime.now(UTC))

    async def close(self) -> None:
        """Let every connection go.

        The session does not wait for those whose answer was broken off: a loop that ends before
        them would complain of an unclosed transport.
        """
        await self._http.close()
        patience = asyncio.get_running_loop().time() + _CLOSING_SECONDS
        while any(each.fileno() >= 0 for each in self._sockets):
            if asyncio.get_running_loop().time() > patience:
                break  # a peer that does not answer the TLS farewell
            await asyncio.sleep(0.001)

    def _make_socket(self, info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _name, _address = info
        made = socket.socket(family, kind, protocol)
        if self._limits.rate is not None:
            # The system would take in megabytes, whatever we read of them.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer)
        self._sockets.add(made)
        return made

    async def _sign_in(
        self, url: URL, headers: Mapping[str, str], failed: AuthMethod
    ) -> aiohttp.ClientResponse:
        """The one request that carries the password. The gate is held."""
        if failed is AuthMethod.PASSWORD:
            self._refuse()  # it was this password that was refused just now
        if not self._secure:
            raise UsageError(
                f"{url.origin()} asks for a password over plain http",
                next_step="A password goes over https:// only (or to this machine).",
            )
        if failed is AuthMethod.COOKIE and not self._cookie_served:
            self._cookie_suffices = False
        self._cookie_served = False
        if self._credentials is None:
            try:
                self._credentials = await self._find_credentials()
            except CredentialsRefused as none:
                self._refused = none  # nobody is asked twice
                raise
        response = await self._send(url, headers, AuthMethod.PASSWORD)
        if response.status == 401 or response.status in TEMPORARY_REDIRECTS:
            await drain(response)
            self._refuse(response.status)
        if response.status in TRY_LATER:
            return response  # an accident, which says nothing of sessions
        self._era += 1
        self._signed_in_at = url
        session = self._cookie_suffices and bool(response.cookies)
        self._proof = AuthMethod.COOKIE if session else AuthMethod.PASSWORD
        return response

    def _refuse(self, status: int = 401) -> Never:
        who = self._credentials
        assert who is not None
        how = "" if status == 401 else f" with a redirect ({status}), as to a login page"
        self._refused = CredentialsRefused(
            f"the server refuses the password of {who.username} (from {who.found_in}){how}"
        )
        raise self._refused

    def _stop_if_refused(self) -> None:
        if self._refused is not None:
            # Another worker's: one each, so that no traceback grows with their number.
            raise CredentialsRefused(str(self._refused), next_step=self._refused.next_step)

    async def _send(
        self, url: URL, headers: Mapping[str, str], proof: AuthMethod
    ) -> aiohttp.ClientResponse:
        sent = dict(headers)
        if proof is AuthMethod.COOKIE:
            sent["Authorization"] = _BY_SESSION
        elif proof is AuthMethod.PASSWORD and self._credentials is not None:
            sent["Authorization"] = basic_header(self._credentials)
        through: dict[str, Any] = {}
        if self._proxy is not None:
            through = {"proxy": self._proxy.url}
            if url.scheme == "https":  # for CONNECT; what is inside is not for its eyes
                through["proxy_headers"] = self._proxy.headers
            else:
                sent |= self._proxy.headers
        self.requests += 1
        stage = RequestTimeouts()
        try:
            async with stage.patience:
                response = await self._http.get(
                    url, headers=sent, allow_redirects=False, trace_request_ctx=stage, **through
                )
        except (aiohttp.ClientError, OSError, UnicodeError) as problem:
            raise self._failure(problem, url, connected=stage.connected) from None
        if response.status == 407 and self._proxy is not None and url.scheme == "http":
            await drain(response)
            raise self._proxy_refusal(self._proxy, 407, url)
        return response

    def _proxy_refusal(self, proxy: Proxy, status: int, url: URL) -> SourceError:
        refused = proxy.refusal(status, url.host)
        if isinstance(refused, CredentialsRefused):
            self._refused = refused  # by whomever: no password is tried twice
        return refused

    def _failure(self, problem: Exception, url: URL, *, connected: bool) -> CxrsyncError:
        """What it means that no answer's head came."""
        where = f"{url.host}" if self._proxy is None else f"{url.host} through {self._proxy}"
        match problem:
            case aiohttp.ClientHttpProxyError() if self._proxy is not None:
                return self._proxy_refusal(self._proxy, problem.status, url)
            case aiohttp.ClientConnectorCertificateError():
                whom = where if problem.host == url.raw_host else problem.host  # the proxy's own
                return Untrusted(f"cannot trust {whom}: {reason_of(problem.certificate_error)}")
            case aiohttp.ClientConnectorError():
                return Unreachable(f"cannot reach {where}: {reason_of(problem.os_error)}")
            case TimeoutError() if not connected:
                return Unreachable(f"cannot reach {where}: timed out")
            case TimeoutError():
                return Interrupted(f"no answer for {self._limits.stall_timeout:g} s")
            case UnicodeError():  # an empty label, or one of more than 63 letters
                return UsageError(f"cannot reach {where}: that can be no host's name")
            case _ if self._proxy is not None and not connected:
                return Unreachable(f"cannot reach {where}: it gives no proper answer")
            case aiohttp.ClientConnectionError() | OSError():
                return Interrupted(f"the connection broke: {reason_of(problem)}")
        return InvalidResponse(f"not a proper answer: {type(problem).__name__}")


async def drain(response: aiohttp.ClientResponse) -> None:
    """Finish with a response whose body does not matter; keep its connection if that is cheap."""
    try:
        left = _MAX_REFUSAL_BYTES
        if (response.content_length or 0) <= left:
            async with asyncio.timeout(_MAX_REFUSAL_SECONDS):
                while left > 0 and not response.content.at_eof():
                    left -= len(await response.content.read(left))
    except (aiohttp.ClientError, OSError, TimeoutError):
        pass
    finally:
        response.close() if not response.content.at_eof() else response.release()


def _tls(origin: SourceConfig) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if origin.ca_file is not None:
        try:
            context.load_verify_locations(cafile=origin.ca_file)
        except (OSError, ssl.SSLError) as problem:
            raise UsageError(f"--ca-file {origin.ca_file}: {reason_of(problem)}") from None
    return context
