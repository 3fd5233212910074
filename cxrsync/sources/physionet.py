"""PhysioNet's own server, over HTTPS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
from tenacity import (
    retry,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)
from yarl import URL

from cxrsync.catalog.dataset_info import NAME
from cxrsync.catalog.load import dataset_info
from cxrsync.config.job import SourceConfig, TransferLimits
from cxrsync.errors import AccessDenied, Interrupted, InvalidResponse, SourceError, Throttled
from cxrsync.model import MANIFEST_NAME, RemotePath
from cxrsync.sanitize import reason_of
from cxrsync.sources import credentials
from cxrsync.sources.base import Answer, BodyEnd, Opened
from cxrsync.sources.http import responses
from cxrsync.sources.http.session import Session, drain

_API_PAUSE = 0.5
_MAX_API_BYTES = 1 << 20


class PhysioNet:
    """A Source: the files below ``origin.base_url``, as ``<dataset>/<version>/<path>``."""

    def __init__(
        self, origin: SourceConfig, limits: TransferLimits, ask: credentials.Ask | None = None
    ) -> None:
        self._base = URL(origin.base_url)
        self._origin = origin
        self._ask = ask
        self._stall_timeout = limits.stall_timeout
        self._session = Session(origin, limits, self._find_credentials)

    @property
    def identity(self) -> str:
        return str(self._base)

    @property
    def requests(self) -> int:
        return self._session.requests

    @asynccontextmanager
    async def open(
        self,
        ref: RemotePath,
        start: int = 0,
        stop: int | None = None,
        resume_if: str | None = None,
        skip_if: str | None = None,
    ) -> AsyncIterator[Answer]:
        """See :meth:`cxrsync.sources.base.Source.open`."""
        page = ref.path.lower().endswith((".html", ".htm", ".xhtml"))
        asked = responses.RangeRequest(start, stop, resume_if, skip_if, page)
        manifest = self._url(replace(ref, path=MANIFEST_NAME))
        response = await self._session.get(
            self._url(ref), responses.request_headers(asked), sign_in_at=manifest
        )
        try:
            head = responses.interpret_response(
                asked, response.status, response.headers, datetime.now(UTC)
            )
        except AccessDenied:
            await drain(response)
            raise self._denied(ref) from None
        except SourceError:
            await drain(response)
            raise
        if not isinstance(head, responses.ResponseBody):
            await drain(response)
            yield head
            return
        chunks = self._chunks(response)
        try:
            end = head.end
            if end is BodyEnd.CLOSED and self._base.scheme == "https":
                end = BodyEnd.FORGEABLE  # aiohttp does not tell TLS's close_notify from a bare FIN
            yield Opened(head.start, head.total, head.validator, head.modified, chunks, end)
        finally:
            # Read to its end the connection has gone back to the pool; otherwise it is in the
            # middle of an answer and of no use to anyone.
            response.close()
            await chunks.aclose()  # left to itself, the loop would make a task of it

    async def versions(self, dataset: str) -> list[str]:
        """Asked of the public API, as nobody; empty if it does not tell."""
        try:
            listed = [project["version"] for project in await self._ask_api(dataset)]
            return listed if all(map(NAME.fullmatch, listed)) else []
        except (LookupError, TypeError, RecursionError):
            return []

    async def total(self, dataset: str, version: str) -> int | None:
        """Asked of the public API, as nobody; None if it does not tell."""
        try:
            size = (await self._ask_api(dataset, version))["main_storage_size"]
        except (LookupError, TypeError, RecursionError):
            return None
        return size if isinstance(size, int) and size > 0 else None

    async def _ask_api(self, *names: str) -> Any:
        """What the API has under ``names``; None if nothing: a convenience that the site may
        change, never a reason to stop."""
        try:
            return await self._try_api(*names)
        except (SourceError, aiohttp.ClientError, OSError, ValueError, RecursionError):
            return None

    @retry(
        retry=retry_if_exception_type((Interrupted, Throttled)),
        stop=stop_after_attempt(3),
        wait=wait_random_exponential(multiplier=_API_PAUSE, max=10),
        reraise=True,
    )
    async def _try_api(self, *names: str) -> Any:
        url = self._base.origin().joinpath("api/v1/project/published", *names, "")
        response = await self._session.get_public(url, {"Accept": "application/json"})
        try:
            if response.status in responses.TRY_LATER:
                raise Throttled(f"the API answers {response.status}")
            return await self._json(response) if response.status == 200 else None
        finally:
            response.close()

    async def _json(self, response: aiohttp.ClientResponse) -> Any:
        """The body as JSON. Raises ValueError where it is none, or of no sensible size; and what
        :meth:`_chunks` raises."""
        if response.content_type != "application/json":
            raise ValueError(response.content_type)
        body = bytearray()
        async with asyncio.timeout(self._stall_timeout):
            async for chunk in self._chunks(response):
                body += chunk
                if len(body) > _MAX_API_BYTES:
                    raise ValueError("an answer without an end")
        return json.loads(body)

    async def close(self) -> None:
        await self._session.close()

    def _url(self, ref: RemotePath) -> URL:
        # Joined by yarl, name by name: a path may hold '#', '?', '%' and blanks.
        return self._base.joinpath(ref.dataset, ref.version, *ref.path.split("/"))

    async def _find_credentials(self) -> credentials.Credentials:
        host = self._base.host or ""
        return await asyncio.to_thread(
            lambda: credentials.find(host, self._origin.user, ask=self._ask, port=self._base.port)
        )

    async def _chunks(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        try:
            while chunk := await self._chunk(response):
                yield chunk
        except TimeoutError:
            raise Interrupted(f"the line went silent for {self._stall_timeout:g} s") from None
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError) as problem:
            raise Interrupted(f"the connection broke: {reason_of(problem)}") from None
        except aiohttp.ClientError as problem:
            raise InvalidResponse(f"not a proper body: {type(problem).__name__}") from None

    async def _chunk(self, response: aiohttp.ClientResponse) -> bytes:
        if chunk := response.content.read_nowait():
            return chunk
        # aiohttp's own limit begins anew with each byte, be it of the body or of its packing:
        # chunk extensions or trailers without an end.
        async with asyncio.timeout(self._stall_timeout):
            return await response.content.readany()

    def _denied(self, ref: RemotePath) -> AccessDenied:
        """A 403, told apart as far as the server lets us: agent before sign-in, access after."""
        if self._session.user is None:
            return AccessDenied(
                f"{self._base.host} refuses the user agent {self._origin.user_agent!r} (403)",
                next_step="PhysioNet lets programs sign in only if their agent begins with "
                "'Wget/' or 'libwfdb/': leave --user-agent out.",
            )
        dataset = dataset_info(ref.dataset)
        return AccessDenied(
            f"{self._session.user} is signed in but may not have {ref.dataset} {ref.version} (403)",
            next_step="One step of PhysioNet's access process is missing or has expired:\n"
            f"  agreement: sign the data use agreement of this project, at the foot of "
            f"{dataset.agreement}\n"
            "  training: upload the CITI completion report, or renew it: "
            "https://physionet.org/settings/training\n"
            "  credentialing: apply, or see how far it is: "
            "https://physionet.org/settings/credentialing",
        )
