"""Asks a server one thing after the other, each once: what ``cxrsync access`` infers from.

No answer ends the probe: a refusal is a value here, with its status, because all of them together
tell what is missing. The password is sent at most once.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING

from yarl import URL

from cxrsync.config.job import SourceConfig, TransferLimits
from cxrsync.errors import CredentialsRefused, SourceError, Unreachable, UsageError
from cxrsync.events import EventSink
from cxrsync.model import MANIFEST_NAME, RemotePath
from cxrsync.sanitize import reason_of
from cxrsync.sources.credentials import Ask, Credentials, find
from cxrsync.sources.http import responses
from cxrsync.sources.http.api_memory import Memory, NoMemory
from cxrsync.sources.http.proxy import proxy_for
from cxrsync.sources.http.redirects import explain_redirect
from cxrsync.sources.http.refusals import http_date
from cxrsync.sources.http.silence import SilenceWatch

if TYPE_CHECKING:
    from cxrsync.sources.http.response import Response

Find = Callable[[], Credentials]
"""Finds credentials; raises CredentialsRefused if there are none."""

_ONE_BYTE = responses.RangeRequest(0, 1)
# A Date has whole seconds: the true time is half a second later on average.
_HALF_A_SECOND = 0.5


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request for a byte of a manifest got.

    status: None if no usable response arrived. refusal: why there are no bytes; None if there are,
    or if the server asks for a password (401). ahead: by how many seconds the server's clock is
    ahead of this machine's; None if it sent no date.
    """

    status: int | None = None
    refusal: SourceError | None = None
    ahead: float | None = None

    @property
    def opens(self) -> bool:
        """Whether the file is served."""
        return self.status is not None and self.refusal is None and self.status != 401


class AccessProbe:
    """Requests to the server of ``origin``. Create it inside a running event loop.

    ``find`` is called in a thread, once the server asks for credentials; what it returned is then
    in ``credentials``.
    """

    def __init__(
        self,
        origin: SourceConfig,
        limits: TransferLimits,
        find: Find,
        emit: EventSink,
        memory: Memory | None = None,
    ) -> None:
        # Imported here: the help of the commands that use this module needs no aiohttp.
        from cxrsync.sources.http.body import BodyReader
        from cxrsync.sources.http.public_api import PublicApi
        from cxrsync.sources.http.session import Session

        self._base = URL(origin.base_url)
        self._origin = origin
        self._limits = limits
        self._find = find
        self._watch = SilenceWatch(self.host, emit)
        self._session = Session(origin, limits, self._find_credentials, self._watch)
        bodies = BodyReader(limits.stall_timeout, self._watch)
        self.api = PublicApi(self._session, self._base, memory or NoMemory(), bodies)
        self.credentials: Credentials | None = None

    @property
    def host(self) -> str:
        """The name of the server."""
        return self._base.host or ""

    @property
    def proxy(self) -> str:
        """The proxy, in words; empty for a direct connection."""
        proxy = proxy_for(self._origin.base_url)
        return "" if proxy is None else str(proxy)

    async def look_up(self) -> tuple[str, ...]:
        """Return the server's addresses. Raises Unreachable; UsageError for an impossible name."""
        loop = asyncio.get_running_loop()
        arrived = False
        self._watch.begin(self._limits.connect_timeout)
        try:
            async with asyncio.timeout(self._limits.connect_timeout):
                found = await loop.getaddrinfo(
                    self.host, self._base.port or 443, type=socket.SOCK_STREAM
                )
            arrived = True
        except TimeoutError:
            raise Unreachable(f"cannot reach {self.host}: the look-up of its name timed out") from (
                None
            )
        except OSError as problem:
            raise Unreachable(f"cannot reach {self.host}: {reason_of(problem)}") from None
        except UnicodeError:  # an empty label, or one of more than 63 letters
            raise UsageError(
                f"cannot reach {self.host}: not a valid host name",
                next_step="Check the address in --base-url.",
            ) from None
        finally:
            self._watch.end(arrived=arrived)
        return tuple(dict.fromkeys(str(address[0]) for *_, address in found))

    async def without_credentials(self, dataset: str, version: str) -> Reply:
        """Ask for a byte of the manifest, without signing in."""
        url = self._manifest(dataset, version)
        headers = responses.request_headers(_ONE_BYTE)
        try:
            return await self._reply(url, lambda: self._session.get_public(url, headers))
        except CredentialsRefused as by_proxy:
            return Reply(refusal=by_proxy)

    async def sign_in(self, dataset: str, version: str) -> Reply:
        """Ask for the same with the password, after a 401. Raises CredentialsRefused."""
        url = self._manifest(dataset, version)
        headers = responses.request_headers(_ONE_BYTE)
        return await self._reply(url, lambda: self._session.sign_in(url, headers))

    async def signed_in(self, dataset: str, version: str) -> Reply:
        """Ask for a byte of another manifest, after the sign-in. Raises CredentialsRefused."""
        url = self._manifest(dataset, version)
        headers = responses.request_headers(_ONE_BYTE)
        return await self._reply(url, lambda: self._session.get(url, headers, sign_in_at=url))

    async def close(self) -> None:
        """Close every connection."""
        self._watch.close()
        await self._session.close()

    def _manifest(self, dataset: str, version: str) -> URL:
        ref = RemotePath(dataset, version, MANIFEST_NAME)
        return self._base.joinpath(ref.dataset, ref.version, ref.path)

    async def _reply(self, url: URL, send: Callable[[], Awaitable[Response]]) -> Reply:
        from cxrsync.sources.http.client import drain  # here, as above

        began = time()
        try:
            response = await send()
        except CredentialsRefused:
            raise
        except SourceError as problem:
            return Reply(refusal=problem)
        seen_at = (began + time()) / 2
        await drain(response)
        date = http_date(response.headers.get("Date", ""))
        ahead = None if date is None else date.timestamp() + _HALF_A_SECOND - seen_at
        reply = Reply(response.status, ahead=ahead)
        if response.status == 401:
            return reply
        return replace(reply, refusal=self._refusal(response, url))

    def _refusal(self, response: Response, url: URL) -> SourceError | None:
        status, now = response.status, datetime.now(UTC)
        try:
            responses.interpret_response(_ONE_BYTE, status, response.headers, now)
        except SourceError as refused:
            if 300 <= status < 400:
                location = response.headers.get("Location")
                return explain_redirect(refused, status, location, url, self._base)
            return refused
        return None

    async def _find_credentials(self) -> Credentials:
        self.credentials = await asyncio.to_thread(self._find)
        return self.credentials


def usual_credentials(origin: SourceConfig, ask: Ask | None, *, is_required: bool = True) -> Find:
    """Return what finds the credentials that a pull would use, as :func:`find` does."""
    address = URL(origin.base_url)
    return lambda: find(
        address.host or "", origin.user, ask=ask, port=address.port, is_required=is_required
    )
