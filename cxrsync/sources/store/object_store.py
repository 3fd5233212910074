"""A store in the cloud as a source: ``--from s3``, ``--from gcs``, ``--from s3://…``, ``gs://…``.

Requests are sent by the same connections as those to PhysioNet, with the same limits of time and
size; only who they are from differs. A range is asked for with ``If-Match``: stores do not promise
``If-Range``. If the object has changed (412), it is asked for again from its beginning.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import aiohttp
from yarl import URL

from cxrsync import __version__
from cxrsync.catalog.load import dataset_info
from cxrsync.catalog.stores import Stores
from cxrsync.config.job import SourceConfig, TransferLimits
from cxrsync.config.store_address import Service, StoreAddress, VersionPlace
from cxrsync.config.store_places import is_physionets, named_version
from cxrsync.errors import (
    AccessDenied,
    CxrsyncError,
    Interrupted,
    NotFound,
    NotServed,
    SourceError,
    Unanswered,
    Unreachable,
    UsageError,
)
from cxrsync.events import EventSink
from cxrsync.model import MANIFEST_NAME, RemotePath
from cxrsync.sources.base import Answer, BodyEnd, Opened, PastEnd
from cxrsync.sources.http import responses
from cxrsync.sources.http.body import BodyReader
from cxrsync.sources.http.client import HttpClient, drain
from cxrsync.sources.http.response import Response
from cxrsync.sources.http.silence import SilenceWatch
from cxrsync.sources.store import refusals
from cxrsync.sources.store.access import (
    Asked,
    AwsCaller,
    explain_store_denial,
    parse_caller,
)
from cxrsync.sources.store.answers import interpret_answer, own_time, store_headers
from cxrsync.sources.store.aws_configuration import check_own_copy, configuration_if_installed
from cxrsync.sources.store.endpoints import (
    GCS_ENDPOINT,
    caller_identity_url,
    list_url,
    object_url,
    region_of,
)
from cxrsync.sources.store.signing import AwsSigner, GoogleSigner, Signer, Unsigned
from cxrsync.sources.store.version_folders import VersionFolders

_MAX_REFUSAL_BYTES = 1 << 16
_AGENT = f"cxrsync/{__version__}"
# How long AWS may take to say whose the credentials are.
_CALLER_SECONDS = 10.0
_UNREACHABLE = (
    "Check the network, and the address in --from, --endpoint-url or AWS_ENDPOINT_URL, then run "
    "the same command again: verified files are kept and are not fetched again."
)
_SERVED = {200, 206, 304}


class ObjectStore:
    """A Source: the copies of datasets at ``address``. Create it inside a running event loop.

    ``asked``: dataset and version that the job names; the address may be the folder of that one.
    """

    def __init__(
        self,
        address: StoreAddress,
        origin: SourceConfig,
        limits: TransferLimits,
        stores: Stores,
        emit: EventSink,
        asked: tuple[str, str | None] | None = None,
    ) -> None:
        number = origin.access_point_number
        self._folders = VersionFolders(address, stores, number, asked, emit)
        self._address = address
        self._origin = origin
        self._stores = stores
        self._caller: AwsCaller | None = None
        self._regions: dict[str, str] = {}
        self._signer = self._make_signer()
        self._endpoint_url, ca_file = origin.endpoint_url, origin.ca_file
        if address.service is Service.S3:
            configured = configuration_if_installed(origin.aws_profile)
            if not address.bucket:
                check_own_copy(configured.endpoint_url, str(address))
            self._endpoint_url = self._endpoint_url or configured.endpoint_url
            ca_file = ca_file or configured.ca_file
        self._watch = SilenceWatch(str(address), emit)
        self._client = self._make_client(ca_file, limits)
        self._bodies = BodyReader(limits.stall_timeout, self._watch)

    @property
    def identity(self) -> str:
        at = "" if self._endpoint_url is None else f" at {self._endpoint_url}"
        return f"{self._address}{at}"

    @property
    def requests(self) -> int:
        return self._client.requests

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
        place = self._folders.place(ref.dataset, ref.version)
        try:
            response = await self._get(place, ref.path, store_headers(asked))
        except (AccessDenied, NotFound) as refused:
            place = await self._folder_of(ref, place, refused)
            response = await self._get(place, ref.path, store_headers(asked))
        self._folders.settle(ref)
        if response.status == 412 and resume_if is not None:
            await drain(response)
            asked = responses.RangeRequest(page=page)
            response = await self._get(place, ref.path, store_headers(asked))
        if response.status not in _SERVED:
            yield await self._refused(response, place, asked)
            return
        try:
            head = interpret_answer(asked, response.status, response.headers, datetime.now(UTC))
        except CxrsyncError:
            await drain(response)
            raise
        if not isinstance(head, responses.ResponseBody):
            await drain(response)
            yield head
            return
        chunks = self._bodies.chunks(response)
        try:
            end = BodyEnd.FORGEABLE if head.end is BodyEnd.CLOSED else head.end
            is_own = own_time(response.headers) is not None
            yield Opened(head.start, head.total, head.validator, head.modified, chunks, end, is_own)
        finally:
            response.close()
            await chunks.aclose()

    async def credentials_found_in(self) -> str:
        """Return where the credentials come from, in words; "" if no request is signed. Raises
        CredentialsRefused if there are none."""
        await self._signer.headers(URL(GCS_ENDPOINT), self._signer.region)
        return self._signer.caller.found_in

    async def caller(self) -> AwsCaller | None:
        """Ask AWS, once, whose the credentials are; None if it does not say, or if no request is
        signed for AWS. Raises CredentialsRefused if none are found."""
        if not isinstance(self._signer, AwsSigner) or self._endpoint_url is not None:
            return None
        if self._caller is None:
            self._caller = await self._ask_caller()
        return self._caller

    async def _ask_caller(self) -> AwsCaller | None:
        url = caller_identity_url(self._signer.region)
        signed = await self._signer.headers(url, self._signer.region, "sts")
        try:
            async with asyncio.timeout(_CALLER_SECONDS):
                response = await self._client.get(url, signed)
                body = await self._bodies.small(response, _MAX_REFUSAL_BYTES)
                response.release()
        except (SourceError, TimeoutError, ValueError):
            return None  # a network without a way to that service
        return parse_caller(body)

    async def _folder_of(
        self, ref: RemotePath, place: VersionPlace, refused: AccessDenied | NotFound
    ) -> VersionPlace:
        """Return the address itself, if it has a manifest, and DATASET/VERSION below it has none.

        Raises UsageError if nobody says which version that is; NothingThere if nothing is there;
        else ``refused``.
        """
        other = self._folders.candidate(ref, place)
        if other is not None and await self._has_manifest(other):
            self._folders.assume(ref)
            return other
        if isinstance(refused, AccessDenied):
            raise await self._explained(refused, place, ref)
        if ref.path == MANIFEST_NAME and await self._is_empty(place):
            raise refusals.nothing_there(place)
        raise refused

    async def _has_manifest(self, place: VersionPlace) -> bool:
        try:
            await drain(await self._get(place, MANIFEST_NAME, {"Range": "bytes=0-0"}))
        except (AccessDenied, NotServed):
            return False
        return True

    async def _is_empty(self, place: VersionPlace) -> bool:
        """Return whether the store says that there is nothing; it may not let us ask."""
        try:
            response = await self._get_url(place, partial(list_url, place), {})
        except SourceError:
            return False
        try:
            body = await self._bodies.small(response, _MAX_REFUSAL_BYTES)
        except (SourceError, TimeoutError, ValueError):
            return False
        finally:
            response.close()
        return response.status == 200 and refusals.lists_nothing(body)

    async def _explained(
        self, refused: AccessDenied, place: VersionPlace, ref: RemotePath
    ) -> AccessDenied:
        ours = is_physionets(place, self._stores)
        if ref.path != MANIFEST_NAME:
            return refused  # whether all is refused is asked with the manifest
        caller = await self.caller() if ours else None
        asked = Asked(place, dataset_info(ref.dataset), ref.version, ours, caller)
        return explain_store_denial(refused, asked)

    async def versions(self, dataset: str) -> list[str]:
        """Return the version that the address names. Raises Unanswered: a store is not listed."""
        named = named_version(self._address, self._stores)
        if named is not None and named[0] == dataset:
            return [named[1]]
        raise Unanswered(f"a store does not say which versions of {dataset} there are")

    async def total(self, dataset: str, version: str) -> int | None:
        """Raise Unanswered: a store does not say how large a version is."""
        raise Unanswered(f"a store does not say how large {dataset} {version} is")

    async def close(self) -> None:
        self._watch.close()
        await self._client.close()

    def _make_client(self, ca_file: Path | None, limits: TransferLimits) -> HttpClient:
        base = self._endpoint_url or GCS_ENDPOINT
        origin = replace(self._origin, base_url=base, user_agent=_AGENT, ca_file=ca_file)
        try:
            return HttpClient(origin, limits, self._watch, cookies=aiohttp.DummyCookieJar())
        except UsageError as problem:
            if ca_file == self._origin.ca_file:
                raise
            what = str(problem).replace("--ca-file", "AWS_CA_BUNDLE", 1)
            raise UsageError(what, next_step=problem.next_step) from None

    def _make_signer(self) -> Signer:
        if self._address.service is Service.GCS:
            return GoogleSigner(self._origin.requester_pays)
        if self._address.bucket in self._stores.s3.open_buckets:
            return Unsigned()
        return AwsSigner(self._origin.aws_profile)

    async def _get(self, place: VersionPlace, path: str, headers: dict[str, str]) -> Response:
        """GET a file. See :meth:`_get_url`."""
        return await self._get_url(place, partial(object_url, place, path), headers)

    async def _get_url(
        self,
        place: VersionPlace,
        url_in: Callable[[str, str | None], URL],
        headers: dict[str, str],
    ) -> Response:
        """GET what ``url_in`` names for a region and an endpoint.

        Credentials that have expired are renewed, and a bucket in another region is asked there,
        each once: both are signed for the same service. Returns an answer with the file, or one
        that says why there is none.
        """
        renewed = moved = False
        while True:
            region = region_of(place, self._regions.get(place.bucket) or self._signer.region)
            url = url_in(region, self._endpoint_url)
            signed = await self._signer.headers(url, region)
            try:
                response = await self._client.get_file(url, {**headers, **signed})
            except Unreachable as problem:
                own = problem.next_step != Unreachable.next_step
                step = problem.next_step if own else _UNREACHABLE
                raise type(problem)(str(problem), next_step=step) from None
            if response.status in _SERVED | {412, 416}:
                return response
            refused = await self._read(response)
            elsewhere = refusals.other_region(refused, region)
            if elsewhere is not None and not moved:
                moved = True
                self._regions[place.bucket] = elsewhere
            elif refusals.needs_renewal(refused, place.service) and not renewed:
                renewed = True
                if not await self._signer.renew(signed):
                    raise self._error(refused, response, place)
            else:
                raise self._error(refused, response, place)

    async def _read(self, response: Response) -> refusals.StoreRefusal:
        """Return what an answer without the file says; of an unreadable one only its status."""
        try:
            body = await self._bodies.small(response, _MAX_REFUSAL_BYTES)
        except (ValueError, TimeoutError, Interrupted):
            body = b""
        finally:
            response.release() if response.content.at_eof() else response.close()
        return refusals.read_refusal(response.status, response.headers, body)

    async def _refused(
        self,
        response: Response,
        place: VersionPlace,
        asked: responses.RangeRequest,
    ) -> PastEnd:
        """Return the answer to a range behind the end (416). Raises the error for any other."""
        refused = await self._read(response)
        if refused.status != 416 or not (asked.start or asked.stop):
            raise self._error(refused, response, place)
        found = interpret_answer(asked, 416, response.headers, datetime.now(UTC))
        assert isinstance(found, PastEnd)
        return found if found.total is not None else PastEnd(refused.size)

    def _error(
        self,
        refused: refusals.StoreRefusal,
        response: Response,
        place: VersionPlace,
    ) -> CxrsyncError:
        now = datetime.now(UTC)
        return refusals.store_error(refused, place, self._signer.caller, response.headers, now)
