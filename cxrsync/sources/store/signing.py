"""Who a request to a store is from: signs it, or adds a token; renews what has expired.

botocore finds AWS's credentials (environment, profiles, SSO, roles of a machine) and signs;
google-auth brings tokens. Both are extras, imported only here, and only when a store is named. What
they do with files and networks blocks, so it is done in a thread. The text of their errors is never
shown: it may quote what a credentials file holds.
"""

from __future__ import annotations

import asyncio
import importlib
import warnings
from collections.abc import Mapping
from typing import Any, Protocol

from yarl import URL

from cxrsync.config.job import is_loopback
from cxrsync.errors import CredentialsRefused, UsageError
from cxrsync.sanitize import reason_of
from cxrsync.sources.store.aws_configuration import new_session, read_configuration, told
from cxrsync.sources.store.endpoints import DEFAULT_REGION
from cxrsync.sources.store.refusals import Caller

_READ_ONLY = "https://www.googleapis.com/auth/devstorage.read_only"


class Signer(Protocol):
    """Who the requests to a store are from."""

    @property
    def caller(self) -> Caller:
        """Who that is, for messages."""

    @property
    def region(self) -> str:
        """The region in which buckets are looked for."""

    async def headers(self, url: URL, region: str, service: str = "s3") -> dict[str, str]:
        """Return the headers that a GET of ``url`` needs. Raises CredentialsRefused."""

    async def renew(self, refused: Mapping[str, str]) -> bool:
        """Look for other credentials than those of ``refused``, which are headers that
        :meth:`headers` gave, and which have expired. Return whether there are any."""


class Unsigned:
    """A Signer of what everybody may read."""

    region = DEFAULT_REGION
    caller = Caller()

    async def headers(self, url: URL, region: str, service: str = "s3") -> dict[str, str]:  # noqa: ARG002
        return {}

    async def renew(self, refused: Mapping[str, str]) -> bool:  # noqa: ARG002
        return False


def _needed(package: str, extra: str, store: str) -> Any:
    """Return a package of an extra. Raises UsageError if it is not installed."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise UsageError(
            f"to fetch from {store}, {package} is needed, which is not installed",
            next_step=f"pip install 'cxrsync[{extra}]', in the environment of cxrsync; then run "
            "the same command again.",
        ) from None


class AwsSigner:
    """A Signer by botocore. Raises UsageError if that is not installed.

    ``profile``: of AWS's configuration; None: as AWS's own tools choose.
    """

    def __init__(self, profile: str | None) -> None:
        _needed("botocore.session", "s3", "S3")
        self._profile = profile
        self._found: Any = None
        self._lock = asyncio.Lock()
        self._region = read_configuration(profile).region

    @property
    def caller(self) -> Caller:
        method = getattr(self._found, "method", None)
        return Caller(_FOUND_IN.get(method, str(method)) if method else "")

    @property
    def region(self) -> str:
        return self._region

    async def headers(self, url: URL, region: str, service: str = "s3") -> dict[str, str]:
        auth = importlib.import_module("botocore.auth")
        request = importlib.import_module("botocore.awsrequest").AWSRequest(
            method="GET", url=str(url)
        )
        kind = auth.S3SigV4Auth if service == "s3" else auth.SigV4Auth
        kind(await self._frozen(), service, region).add_auth(request)
        return dict(request.headers.items())

    async def renew(self, refused: Mapping[str, str]) -> bool:
        async with self._lock:
            if not await asyncio.to_thread(lambda: self._is_of(refused)):
                return True  # another connection has renewed them meanwhile
            # A role's are new then; others may have been renewed on the disk.
            self._found = await asyncio.to_thread(self._find)
            return not await asyncio.to_thread(lambda: self._is_of(refused))

    async def _frozen(self) -> Any:
        async with self._lock:
            if self._found is None:
                self._found = await asyncio.to_thread(self._find)
            found = self._found
            refresh_needed = getattr(found, "refresh_needed", lambda: False)
            if refresh_needed():
                return await asyncio.to_thread(
                    lambda: told(self._profile, found.get_frozen_credentials)
                )
        return found.get_frozen_credentials()

    def _is_of(self, sent: Mapping[str, str]) -> bool:
        """Return whether headers were made with the present credentials."""
        frozen = told(self._profile, self._found.get_frozen_credentials)
        is_key = f"Credential={frozen.access_key}/" in sent.get("Authorization", "")
        return is_key and sent.get("X-Amz-Security-Token") == frozen.token

    def _find(self) -> Any:
        found = told(self._profile, lambda: new_session(self._profile).get_credentials())
        if found is None:
            raise CredentialsRefused(
                "no AWS credentials were found",
                next_step="`aws configure` stores those of an IAM user; or set AWS_PROFILE, "
                "--aws-profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
            )
        return found


# botocore's names of the places where credentials are found.
_FOUND_IN = {
    "env": "the environment",
    "shared-credentials-file": "AWS's credentials file",
    "config-file": "AWS's configuration file",
    "assume-role": "a role of the profile",
    "sso": "AWS's single sign-on",
    "iam-role": "the role of this machine",
    "container-role": "the role of this container",
    "custom-process": "the profile's credential_process",
}


class GoogleSigner:
    """A Signer by google-auth. Raises UsageError if that is not installed.

    ``project``: the one that pays (requester pays); None: the bucket's own.
    """

    region = ""

    def __init__(self, project: str | None) -> None:
        _needed("google.auth", "gcs", "Google Cloud")
        _needed("requests", "gcs", "Google Cloud")
        self._project = project
        self._found: Any = None
        self._lock = asyncio.Lock()

    @property
    def caller(self) -> Caller:
        found_in = "" if self._found is None else _google_account(self._found)
        return Caller(found_in, self._project or "")

    async def headers(self, url: URL, region: str, service: str = "s3") -> dict[str, str]:  # noqa: ARG002
        if url.scheme != "https" and not is_loopback(url.host):
            raise UsageError(
                "a token of Google Cloud is not sent over plain http",
                next_step="Use an https:// address in --endpoint-url.",
            )
        async with self._lock:
            if self._found is None:
                self._found = await asyncio.to_thread(self._find)
            if not self._found.valid:
                await asyncio.to_thread(self._refresh)
            token = self._found.token
        sent = {"Authorization": f"Bearer {token}"}
        if self._project is not None:
            sent["x-goog-user-project"] = self._project
        return sent

    async def renew(self, refused: Mapping[str, str]) -> bool:
        async with self._lock:
            if refused.get("Authorization") == f"Bearer {self._found.token}":
                await asyncio.to_thread(self._refresh)
            return True

    def _find(self) -> Any:
        auth = importlib.import_module("google.auth")
        errors = importlib.import_module("google.auth.exceptions")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about quotas, which a read does not need
                found, _project = auth.default(scopes=[_READ_ONLY])
        except errors.DefaultCredentialsError:
            raise CredentialsRefused(
                "no Google Cloud credentials were found",
                next_step="Run `gcloud auth application-default login` with the account that is "
                "registered at https://physionet.org/settings/cloud/, or name a key file in "
                "GOOGLE_APPLICATION_CREDENTIALS.",
            ) from None
        except errors.GoogleAuthError as problem:
            raise _google_refusal(problem) from None
        return found

    def _refresh(self) -> None:
        transport = importlib.import_module("google.auth.transport.requests")
        errors = importlib.import_module("google.auth.exceptions")
        try:
            with transport.requests.Session() as session:
                self._found.refresh(transport.Request(session=session))
        except errors.GoogleAuthError as problem:
            raise _google_refusal(problem) from None


def _google_account(found: Any) -> str:
    is_service = hasattr(found, "service_account_email")
    return "a service account" if is_service else "your Google account"


def _google_refusal(problem: Exception) -> CredentialsRefused:
    return CredentialsRefused(
        f"Google Cloud's credentials cannot be used: {reason_of(problem)}",
        next_step="Run `gcloud auth application-default login`, or check the file that "
        "GOOGLE_APPLICATION_CREDENTIALS names; then run the same command again.",
    )
