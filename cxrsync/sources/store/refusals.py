"""The meaning of a store's refusals: status, headers and the code in the body, in; an error, out.

Pure, no sockets. S3 and Google Cloud's XML interface answer in the same form: ``<Error>`` with a
``<Code>``. The texts beside the code are never shown: they may quote keys, ids and signatures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cxrsync.config.store_address import ACCESS_POINT, Service, VersionPlace
from cxrsync.errors import (
    AccessDenied,
    CredentialsRefused,
    ExitCode,
    InvalidResponse,
    NotFound,
    NotServed,
    SourceError,
    Throttled,
    UsageError,
)
from cxrsync.humanize import duration
from cxrsync.sources.http.refusals import TRY_LATER, http_date, named, retry_after

_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")
_REGION = re.compile(rb"<Region>([a-z0-9-]{1,32})</Region>")
_ENDPOINT_REGION = re.compile(rb"<Endpoint>[^<]*?s3[.-]([a-z]{2}(?:-[a-z]+)+-[0-9])\.")
_SIZE = re.compile(rb"<ActualObjectSize>([0-9]{1,16})</ActualObjectSize>")
_RENEW = frozenset({"ExpiredToken", "TokenRefreshRequired", "ExpiredTokenException"})
_WRONG_KEY = {
    "InvalidAccessKeyId": "it does not know the access key",
    "SignatureDoesNotMatch": "the secret does not belong to the access key",
    "InvalidToken": "it does not know the session token",
    "InvalidClientTokenId": "it does not know the access key",
    "AuthorizationHeaderMalformed": "it cannot read the signature",
    "InvalidSecurity": "the keys are not valid",
}
_TOO_SKEWED = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
_SLOW = frozenset({"SlowDown", "TooManyRequests", "ThrottlingException", "RequestLimitExceeded"})
_NO_BUCKET = frozenset({"NoSuchBucket", "NoSuchAccessPoint", "InvalidAccessPointAliasError"})
_NO_PROJECT = frozenset({"UserProjectMissing"})
_PROJECT = frozenset(
    {"UserProjectAccessDenied", "UserProjectInvalid", "UserProjectAccountProblem", "AccountProblem"}
)


class NoSuchBucket(NotServed):
    """The store has no bucket or access point of this name."""

    exit_code = ExitCode.USAGE


class NothingThere(NotServed):
    """The store has the bucket, and nothing in it below the place of a version."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True, slots=True)
class StoreRefusal:
    """An answer without the file. ``code``: the store's word for it, "" if it sent none.

    ``region``: where the bucket is, if the answer says so. ``size``: of the object, of a 416.
    """

    status: int
    code: str = ""
    region: str = ""
    size: int | None = None

    @property
    def shown(self) -> str:
        """Status and code, for a message."""
        return f"{self.status} {self.code}" if self.code else named(self.status)


def read_refusal(status: int, headers: Mapping[str, str], body: bytes) -> StoreRefusal:
    """Return what an answer without the file says."""
    code, region, size = _CODE.search(body), _REGION.search(body), _SIZE.search(body)
    region = region or _ENDPOINT_REGION.search(body)
    where = headers.get("x-amz-bucket-region") or (region[1].decode() if region else "")
    return StoreRefusal(
        status,
        code[1].decode() if code else "",
        where if re.fullmatch(r"[a-z0-9-]{1,32}", where) else "",
        int(size[1]) if size else None,
    )


def other_region(refused: StoreRefusal, ours: str) -> str | None:
    """Return the region to ask instead, if the store says that the bucket is in another one."""
    elsewhere = 300 <= refused.status < 400 and refused.status != 304
    elsewhere = elsewhere or refused.code in {
        "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect",
    }  # fmt: skip
    return refused.region if elsewhere and refused.region not in {"", ours} else None


def needs_renewal(refused: StoreRefusal, service: Service) -> bool:
    """Return whether other credentials may be accepted: these have expired."""
    if service is Service.GCS:
        return refused.status == 401
    return refused.code in _RENEW


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. ``found_in``: where the credentials come from, in words; "" if no request is
    signed. ``project``: the one that pays, on Google Cloud."""

    found_in: str = ""
    project: str = ""


def store_error(
    refused: StoreRefusal,
    place: VersionPlace,
    caller: Caller,
    headers: Mapping[str, str],
    now: datetime,
) -> SourceError | UsageError:
    """Return the error for an answer without the file."""
    code, status, store = refused.code, refused.status, place.service.title
    if code in _TOO_SKEWED:
        return _skewed(store, headers, now)
    if needs_renewal(refused, place.service) or code in _WRONG_KEY:
        return _credentials(refused, place, caller)
    if code in _NO_BUCKET:
        return NoSuchBucket(
            f"{store} has no such bucket or access point: {place} ({refused.shown})",
            next_step=_no_bucket(place),
        )
    if code in _NO_PROJECT:
        return AccessDenied(
            f"{place} wants to know which project pays for the transfer ({refused.shown})",
            next_step="Name your project: --requester-pays PROJECT. It pays what Google Cloud "
            "charges; `--dry-run` says how much is fetched.",
        )
    if code in _PROJECT:
        return AccessDenied(
            f"the project {caller.project or 'of the request'} cannot pay for the transfer "
            f"({refused.shown})",
            next_step="It needs billing, and your account the right to use it "
            "(roles/serviceusage.serviceUsageConsumer): "
            "https://console.cloud.google.com/billing/projects",
        )
    if code in _SLOW or status in TRY_LATER:
        return Throttled(
            f"{store} asks to try later ({refused.shown})",
            after=retry_after(headers.get("Retry-After"), now),
            overloaded=status in {429, 503} or code in _SLOW,
            by_us=status == 429 or code in _SLOW,
        )
    if status in {401, 403}:
        return AccessDenied(f"{store} refuses access to {place} ({refused.shown})")
    if status == 404:
        return NotFound(f"{store} has no such file ({refused.shown})")
    if 300 <= status < 400:
        return NotServed(
            f"{store} points elsewhere ({refused.shown})",
            next_step="The bucket is in another region, which it does not name. Set AWS_REGION to "
            "it, or name the access point by its ARN.",
        )
    if 400 <= status < 500:
        return NotServed(
            f"{store} will not give the file ({refused.shown})",
            next_step="Check the address in --from, and --endpoint-url.",
        )
    return InvalidResponse(f"{store} answers {refused.shown}")


def lists_nothing(body: bytes) -> bool:
    """Return whether the answer to a list says that there is no object."""
    return b"<ListBucketResult" in body and b"<Contents>" not in body


def nothing_there(place: VersionPlace) -> NothingThere:
    """Return the error for a place without any object."""
    return NothingThere(
        f"{place.service.title} has nothing in {place}",
        next_step="Check the address in --from: it holds DATASET/VERSION, or is such a folder, or "
        "has the files of one version in it.",
    )


def _skewed(store: str, headers: Mapping[str, str], now: datetime) -> CredentialsRefused:
    then = http_date(headers.get("Date", ""))
    how = "differs too much from the store's"
    if then is not None:
        ahead = (now - then).total_seconds()
        how = f"is {duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} the store's"
    return CredentialsRefused(
        f"{store} refuses the signature: this machine's clock {how}",
        next_step="Set the clock (timedatectl set-ntp true, or ask the administrator), then run "
        "the same command again.",
    )


def _credentials(refused: StoreRefusal, place: VersionPlace, caller: Caller) -> CredentialsRefused:
    whose = f"the credentials (from {caller.found_in})" if caller.found_in else "the request"
    why = _WRONG_KEY.get(refused.code, "")
    if place.service is Service.GCS:
        step = "Run `gcloud auth application-default login`, or check the file that "
        step += "GOOGLE_APPLICATION_CREDENTIALS names."
    elif refused.code in _RENEW or refused.code == "InvalidToken":
        step = "They were for a time only. Get new ones (`aws sso login`, or as you got these), "
        step += "then run the same command again."
    else:
        step = "`aws sts get-caller-identity` tries them. --aws-profile chooses another profile."
    told = f": {why}" if why else ""
    return CredentialsRefused(
        f"{place.service.title} refuses {whose}{told} ({refused.shown})", next_step=step
    )


def _no_bucket(place: VersionPlace) -> str:
    is_alias = place.bucket.endswith("-s3alias") or ACCESS_POINT.fullmatch(place.bucket) is not None
    is_google = place.service is Service.GCS
    if not (place.bucket.endswith(".physionet.org") if is_google else is_alias):
        return (
            "Check the bucket's name in --from. A bucket of another store than AWS or Google Cloud "
            "needs its address, too: --endpoint-url."
        )
    if is_google:
        return (
            "PhysioNet may have removed its copy of this version from Google Cloud; the foot of "
            "the dataset's page names the copies that there are. Leave --from out to fetch from "
            "PhysioNet."
        )
    return (
        "The foot of the dataset's page shows your own access point: its last two digits are "
        "--access-point-number; or give its whole address to --from."
    )
