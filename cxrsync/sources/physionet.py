"""The source PhysioNet: its server, over HTTPS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from yarl import URL

from cxrsync.catalog.load import dataset_info
from cxrsync.config.job import SourceConfig, TransferLimits
from cxrsync.errors import AccessDenied, SourceError
from cxrsync.events import EventSink, Notice, SigningIn
from cxrsync.model import MANIFEST_NAME, RemotePath
from cxrsync.sources import credentials
from cxrsync.sources.base import Answer, BodyEnd, Opened
from cxrsync.sources.http import responses
from cxrsync.sources.http.access import Asker, explain_denial
from cxrsync.sources.http.api_memory import Memory, NoMemory
from cxrsync.sources.http.body import BodyReader
from cxrsync.sources.http.client import drain
from cxrsync.sources.http.public_api import PublicApi
from cxrsync.sources.http.redirects import explain_redirect
from cxrsync.sources.http.response import Response
from cxrsync.sources.http.session import Session
from cxrsync.sources.http.silence import SilenceWatch
from cxrsync.sources.version_info import VersionInfo


class PhysioNet:
    """A Source: the files below ``origin.base_url``, at ``<dataset>/<version>/<path>``.

    ``emit`` gets Waiting while nothing arrives. ``memory`` keeps the answers of the public API.
    """

    def __init__(
        self,
        origin: SourceConfig,
        limits: TransferLimits,
        ask: credentials.Ask | None = None,
        *,
        emit: EventSink = lambda _event: None,
        memory: Memory | None = None,
    ) -> None:
        self._base = URL(origin.base_url)
        self._identity = str(self._base)
        self._manifests: dict[tuple[str, str], URL] = {}
        self._origin = origin
        self._ask = ask
        self._emit = emit
        self._watch = SilenceWatch(self._base.host or "", emit)
        self._session = Session(origin, limits, self._find_credentials, self._watch)
        self._bodies = BodyReader(limits.stall_timeout, self._watch)
        self._api = PublicApi(self._session, self._base, memory or NoMemory(), self._bodies)

    @property
    def identity(self) -> str:
        return self._identity

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
        page = responses.is_page(ref.path)
        asked = responses.RangeRequest(start, stop, resume_if, skip_if, page)
        response = await self._session.get(
            self._url(ref), responses.request_headers(asked), sign_in_at=self._manifest(ref)
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
        chunks = self._bodies.chunks(response)
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
        """See :meth:`cxrsync.sources.base.Source.versions`: by the public API."""
        return await self._api.versions(dataset)

    async def total(self, dataset: str, version: str) -> int | None:
        """See :meth:`cxrsync.sources.base.Source.total`: by the public API."""
        return await self._api.total(dataset, version)

    async def about(self, dataset: str, version: str) -> VersionInfo | None:
        """Return what the public API says about a version; None if it knows no such version.
        Raises Unanswered."""
        return await self._api.about(dataset, version)

    async def citations(self, dataset: str) -> dict[str, str]:
        """Return how the public API words the citation of each version. Raises Unanswered."""
        return await self._api.citations(dataset)

    async def close(self) -> None:
        self._watch.close()
        await self._session.close()

    def _manifest(self, ref: RemotePath) -> URL:
        version = ref.dataset, ref.version
        if version not in self._manifests:
            self._manifests[version] = self._url(replace(ref, path=MANIFEST_NAME))
        return self._manifests[version]

    def _url(self, ref: RemotePath) -> URL:
        # yarl joins name by name: a path may contain '#', '?', '%' and blanks.
        return self._base.joinpath(ref.dataset, ref.version, *ref.path.split("/"))

    async def _find_credentials(self) -> credentials.Credentials:
        host = self._base.host or ""
        ask = None if self._ask is None else credentials.alone(self._ask, self._emit)
        found = await asyncio.to_thread(
            lambda: credentials.find(host, self._origin.user, ask=ask, port=self._base.port)
        )
        self._emit(SigningIn(found.username, found.found_in))
        for warning in found.warnings:
            self._emit(Notice(warning))
        return found

    def _explained(self, refused: SourceError, response: Response, ref: RemotePath) -> SourceError:
        """Return the error for a refusal, with what only the address and the sign-in can tell."""
        status = response.status
        if isinstance(refused, AccessDenied):
            origin = self._origin
            asker = Asker(self._session.user, origin.user_agent, self._base.host)
            return explain_denial(refused, asker, dataset_info(ref.dataset), ref.version)
        if 300 <= status < 400 and status != 304:
            location = response.headers.get("Location")
            return explain_redirect(refused, status, location, self._url(ref), self._base)
        return refused
