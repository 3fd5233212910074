"""The HTTP session of a run, shared by all of its connections, and the sign-in.

PhysioNet (published source, ``check_http_auth``) accepts a request with a session cookie *and any*
``Authorization`` header, without checking a password. A request with a password and without a
session costs about half a second of the server's CPU. So:

1. The first request carries nothing. Its 401 sets the test cookie that makes sessions possible.
2. One request, and only one, carries the password. Its response sets the session cookie.
3. All later requests carry the cookie and ``Authorization: Session``, which holds no secret.

Because of 3., a password that is changed during the run is tried once more, not once for each
connection: the 401 after the end of a session was the answer to no password. After that 401 one
worker signs in again, and the others wait. A server that sets no session cookie (basic
authentication in front of plain files), or asks for the password anyway, gets it with each request.

A 401 need not mean that the session has ended: one path may answer it to everybody. So the worker
that signs in first requests the URL at which the password was accepted, a manifest's, with what was
just refused. If that fails too, the password is sent to the manifest's URL, never to the path that
failed. If it succeeds, only that file is denied (but see ``_check_session``: public manifests).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Never
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from cxrsync.config.job import SourceConfig, TransferLimits, is_loopback
from cxrsync.errors import CredentialsRefused, FileDenied, UsageError
from cxrsync.sources.credentials import Credentials
from cxrsync.sources.http.auth import AuthMethod, basic_header
from cxrsync.sources.http.client import HttpClient, drain
from cxrsync.sources.http.redirects import redirected_sign_in
from cxrsync.sources.http.refusals import TEMPORARY_REDIRECTS, TRY_LATER, refusal
from cxrsync.sources.http.response import Response
from cxrsync.sources.http.silence import SilenceWatch

_BY_SESSION = "Session"
# For requests of which only the status matters.
_ONE_BYTE = {"Accept-Encoding": "identity", "Range": "bytes=0-0"}


class Session:
    """Sends requests to one origin. At most one request signs in at a time.

    ``find_credentials`` is called only when the server asks for them for the first time. ``watch``
    is told when a request waits for the server.
    """

    def __init__(
        self,
        origin: SourceConfig,
        limits: TransferLimits,
        find_credentials: Callable[[], Awaitable[Credentials]],
        watch: SilenceWatch,
    ) -> None:
        self._secure = urlsplit(origin.base_url).scheme == "https" or is_loopback(
            urlsplit(origin.base_url).hostname
        )
        # unsafe: otherwise the jar drops cookies of 127.0.0.1. It holds those of one origin.
        self._client = HttpClient(origin, limits, watch, cookies=aiohttp.CookieJar(unsafe=True))
        self._find_credentials = find_credentials
        self._credentials: Credentials | None = None
        self._gate = asyncio.Lock()
        self._sign_ins = 0
        self._proof = AuthMethod.NONE
        self._cookie_suffices = True
        self._cookie_served = False
        self._refused: CredentialsRefused | None = None
        self._signed_in_at: URL | None = None
        self._files_are_public = False

    @property
    def requests(self) -> int:
        """The number of requests made so far."""
        return self._client.requests

    @property
    def user(self) -> str | None:
        """The user we are signed in as; None before the server has asked."""
        signed_in = self._proof is not AuthMethod.NONE and self._credentials is not None
        return self._credentials.username if signed_in and self._credentials else None

    async def get_public(self, url: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """GET a public URL, without credentials and without a sign-in."""
        return await self._send(url, headers, AuthMethod.NONE)

    async def get(self, url: URL, headers: Mapping[str, str], sign_in_at: URL) -> Response:
        """GET the file ``url``; sign in if the server asks for it. The caller closes the response.

        ``sign_in_at``: a URL that every user with access may read. It is used until the password
        has been accepted at some URL. Never returns a 401. Raises CredentialsRefused, FileDenied,
        Throttled, Unreachable, Interrupted, InvalidResponse.
        """
        while True:
            if self._gate.locked():  # another worker signs in: our cookie would be refused
                async with self._gate:
                    pass
            self._check_refused()
            sign_ins, proof = self._sign_ins, self._proof
            response = await self._send_for_file(url, headers, proof)
            if response.status != 401:
                if proof is AuthMethod.COOKIE:
                    self._cookie_served = True
                elif proof is AuthMethod.NONE:
                    self._files_are_public |= response.status in {200, 206} and url != sign_in_at
                elif response.status in TEMPORARY_REDIRECTS and sign_ins == self._sign_ins:
                    # To a login page, or a site under repair: without the password we see which.
                    self._proof = AuthMethod.NONE
                return response
            await drain(response)
            async with self._gate:
                self._check_refused()
                if self._sign_ins != sign_ins:
                    continue  # another worker has signed in meanwhile
                known = self._signed_in_at or sign_in_at
                if url == known:
                    return await self._sign_in(url, headers, proof)
                await self._check_session(known, proof, url)

    async def sign_in(self, url: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """GET ``url`` with the password, after it has answered 401. Raises as :meth:`get`."""
        async with self._gate:
            self._check_refused()
            return await self._sign_in(url, headers, AuthMethod.NONE)

    async def _check_session(self, url: URL, proof: AuthMethod, denied: URL) -> None:
        """Request ``url``, which every user with access may read, after ``denied`` has answered 401
        to ``proof``. Sign in if ``url`` answers 401, too. The caller holds the gate.

        Raises FileDenied if it does not: then only ``denied`` is refused. But if no file was ever
        served without credentials, perhaps the manifest is public and the files are not: then the
        password is sent to ``denied``.
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
        """Close every connection."""
        await self._client.close()

    async def _sign_in(
        self, url: URL, headers: Mapping[str, str], failed: AuthMethod
    ) -> aiohttp.ClientResponse:
        """Send the one request that carries the password. The caller holds the gate."""
        if failed is AuthMethod.PASSWORD:
            self._refuse()  # this password was just refused
        if not self._secure:
            raise UsageError(
                f"{url.origin()} asks for a password over plain http",
                next_step="Use an https:// address: only this machine gets a password over http.",
            )
        if failed is AuthMethod.COOKIE and not self._cookie_served:
            self._cookie_suffices = False
        self._cookie_served = False
        if self._credentials is None:
            try:
                self._credentials = await self._find_credentials()
            except CredentialsRefused as none:
                self._refused = none  # never ask twice
                raise
        response = await self._send(url, headers, AuthMethod.PASSWORD)
        if response.status == 401 or response.status in TEMPORARY_REDIRECTS:
            await drain(response)
            self._refuse(response)
        if response.status in TRY_LATER:
            return response  # a temporary error, which says nothing about sessions
        self._sign_ins += 1
        self._signed_in_at = url
        session = self._cookie_suffices and bool(response.cookies)
        self._proof = AuthMethod.COOKIE if session else AuthMethod.PASSWORD
        return response

    def _refuse(self, answer: aiohttp.ClientResponse | None = None) -> Never:
        """Raise CredentialsRefused. ``answer``: what the password got, if it was not refused
        before."""
        who = self._credentials
        assert who is not None
        whose = f"the password of {who.username} (from {who.found_in})"
        self._refused = CredentialsRefused(f"the server refuses {whose}")
        if answer is not None and answer.status != 401:
            self._refused = redirected_sign_in(
                whose, answer.status, answer.headers.get("Location"), answer.url
            )
        raise self._refused

    def _check_refused(self) -> None:
        if self._refused is not None:
            # A new error for each worker: one shared error would collect all their tracebacks.
            raise CredentialsRefused(str(self._refused), next_step=self._refused.next_step)

    async def _send(
        self, url: URL, headers: Mapping[str, str], proof: AuthMethod
    ) -> aiohttp.ClientResponse:
        try:
            return await self._client.get(url, self._with_proof(headers, proof))
        except CredentialsRefused as by_proxy:
            self._refused = by_proxy  # no password is tried twice, whoever refused it
            raise

    async def _send_for_file(
        self, url: URL, headers: Mapping[str, str], proof: AuthMethod
    ) -> Response:
        """Send a request whose repetition is harmless: no password that was not accepted yet."""
        try:
            return await self._client.get_file(url, self._with_proof(headers, proof))
        except CredentialsRefused as by_proxy:
            self._refused = by_proxy
            raise

    def _with_proof(self, headers: Mapping[str, str], proof: AuthMethod) -> dict[str, str]:
        sent = dict(headers)
        if proof is AuthMethod.COOKIE:
            sent["Authorization"] = _BY_SESSION
        elif proof is AuthMethod.PASSWORD and self._credentials is not None:
            sent["Authorization"] = basic_header(self._credentials)
        return sent
