"""The source PhysioNet: its server, over HTTPS."""

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
from cxrsync.sources.http.access import Asker, explain_denial
from cxrsync.sources.http.redirects import explain_redirect
from cxrsync.sources.http.refusals import TRY_LATER
from cxrsync.sources.http.session import Session, drain

_API_PAUSE = 0.5
_MAX_API_BYTES = 1 << 20


class PhysioNet:
    """A Source: the files below ``origin.base_url``, at ``<dataset>/<version>/<path>``."""

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
        except SourceError as refused:
            await drain(response)
            raise self._explained(refused, response, ref) from None
        if not isinstance(head, responses.ResponseBody):
            await drain(response)
            yield head
            return
        chunks = self._chunks(response)
        try:
            end = head.end
            if end is BodyEnd.CLOSED and self._base.scheme == "https":
                end = (
                    BodyEnd.FORGEABLE
                )  # aiohttp does not distinguish TLS's close_notify from a FIN
            yield Opened(head.start, head.total, head.validator, head.modified, chunks, end)
        finally:
            # After the whole body the connection is back in the pool. Otherwise it is in the middle
            # of a response, and cannot be reused.
            response.close()
            await chunks.aclose()  # otherwise the event loop would close it in a task of its own

    async def versions(self, dataset: str) -> list[str]:
        """Ask the public API, without signing in. Empty if it does not say."""
        try:
            listed = [project["version"] for project in await self._ask_api(dataset)]
            return listed if all(map(NAME.fullmatch, listed)) else []
        except (LookupError, TypeError, RecursionError):
            return []

    async def total(self, dataset: str, version: str) -> int | None:
        """Ask the public API, without signing in. None if it does not say."""
        try:
            size = (await self._ask_api(dataset, version))["main_storage_size"]
        except (LookupError, TypeError, RecursionError):
            return None
        return size if isinstance(size, int) and size > 0 else None

    async def _ask_api(self, *names: str) -> Any:
        """Return what the API has under ``names``; None after any error. The API is a convenience
        that the site may change, and never a reason to stop."""
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
            if response.status in TRY_LATER:
                raise Throttled(f"the API answers {response.status}")
            return await self._json(response) if response.status == 200 else None
        finally:
            response.close()

    async def _json(self, response: aiohttp.ClientResponse) -> Any:
        """Return the body as JSON. Raises ValueError if it is not JSON or too large, and what
        :meth:`_chunks` raises."""
        if response.content_type != "application/json":
            raise ValueError(response.content_type)
        body = bytearray()
        async with asyncio.timeout(self._stall_timeout):
            async for chunk in self._chunks(response):
                body += chunk
                if len(body) > _MAX_API_BYTES:
                    raise ValueError("an endless response")
        return json.loads(body)

    async def close(self) -> None:
        await self._session.close()

    def _url(self, ref: RemotePath) -> URL:
        # yarl joins name by name: a path may contain '#', '?', '%' and blanks.
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
            raise Interrupted(f"no data for {self._stall_timeout:g} s") from None
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError) as problem:
            raise Interrupted(f"the connection broke: {reason_of(problem)}") from None
        except aiohttp.ClientError as problem:
            raise InvalidResponse(f"an invalid body: {type(problem).__name__}") from None

    async def _chunk(self, response: aiohttp.ClientResponse) -> bytes:
        if chunk := response.content.read_nowait():
            return chunk
        # aiohttp's own timeout starts again with each byte, even with those of endless chunk
        # extensions or trailers.
        async with asyncio.timeout(self._stall_timeout):
            return await response.content.readany()

    def _explained(
        self, refused: SourceError, response: aiohttp.ClientResponse, ref: RemotePath
    ) -> SourceError:
        """Return the error for a refusal, with what only the address and the sign-in can tell."""
        status = response.status
        if isinstance(refused, AccessDenied):
            origin = self._origin
            asker = Asker(self._session.user, origin.user_agent, self._base.host)
            return explain_denial(status, refused, asker, dataset_info(ref.dataset), ref.version)
        if 300 <= status < 400 and status != 304:
            location = response.headers.get("Location")
            return explain_redirect(refused, status, location, self._url(ref), self._base)
        return refused
