"""What ``--from`` names: a folder, PhysioNet, or a store in the cloud. Pure.

``/mnt/mirror``, ``./s3``, ``physionet``, ``s3``, ``gcs``, ``s3://BUCKET/PREFIX``,
``s3://arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/PREFIX``, ``gs://BUCKET/PREFIX`` and the like.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from cxrsync.config.store_address import ACCESS_POINT, Service, SitePlace, StoreAddress
from cxrsync.errors import UsageError
from cxrsync.model import MANIFEST_NAME
from cxrsync.sanitize import is_address, shown_word

PHYSIONET = "physionet"
_SCHEMES = {
    **dict.fromkeys(("s3", "s3a", "s3n"), Service.S3),
    **dict.fromkeys(("gs", "gcs"), Service.GCS),
}
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/{1,3}(.*)", re.IGNORECASE | re.DOTALL)
_RCLONE = re.compile(r"(s3|gs|gcs):([0-9A-Za-z][0-9A-Za-z._/-]+)", re.IGNORECASE)
_BUCKET = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{1,220}[0-9A-Za-z]")
_ARN = re.compile(r"arn:", re.IGNORECASE)
_S3_HOST = re.compile(r"(?:(?P<bucket>.+)\.)?s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?")
_S3_POINT = re.compile(
    r"(?P<name>.+)-(?P<account>[0-9]{12})\.s3-accesspoint\.(?P<region>[a-z0-9-]+)\.amazonaws\.com"
)
_GCS_HOSTS = {"storage.googleapis.com", "storage.cloud.google.com", "console.cloud.google.com"}
_CONSOLE = "storage/browser/"
# What people write for the words.
_MEANT = {
    "s3": "aws amazon s3: s3:// amazons3",
    "gcs": "gs google gcp gs: gs:// googlecloud google-cloud gcloud",
    PHYSIONET: "physionet.org site web https",
}
_FORMS = (
    "Write s3 or gcs for PhysioNet's own copies, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX for "
    "another bucket, or a folder."
)


@dataclass(frozen=True, slots=True)
class FolderPlace:
    """A folder of this machine, as the user wrote it."""

    path: str


SourcePlace = FolderPlace | SitePlace | StoreAddress


def parse_source(word: str, label: str = "--from") -> SourcePlace:
    """Return what a value of ``--from`` names. ``label`` begins the messages.

    Raises UsageError, which shows no key and no signature of a pasted address.
    """
    text = word.strip()
    folded = text.casefold().rstrip("/")
    if folded == PHYSIONET:
        return SitePlace()
    if folded in {service.value for service in Service}:
        return StoreAddress(Service(folded))
    if _ARN.match(text):
        return _store(Service.S3, text, label)
    match = _SCHEME.fullmatch(text)
    if match is None:
        return FolderPlace(word)
    scheme, rest = match[1].casefold(), match[2]
    if scheme in _SCHEMES:
        return _store(_SCHEMES[scheme], rest, label)
    raise _other_address(text, label)


def source_advice(word: str) -> str:
    """Return what may be meant by a word that names no folder; "" if nothing is known."""
    folded = word.strip().casefold().rstrip("/")
    if match := _RCLONE.fullmatch(word.strip()):  # as rclone names a bucket
        return f"Did you mean --from {_SCHEMES[match[1].casefold()].scheme}://{match[2]}?"
    for value, words in _MEANT.items():
        if folded in words.split():
            return f"Did you mean --from {value}?"
    return ""


def _store(service: Service, text: str, label: str) -> StoreAddress:
    if "@" in text.partition("/")[0]:
        raise UsageError(
            f"{label} contains a key or a password",
            next_step="Every user of the machine can see arguments. Leave it out: AWS's usual "
            "places for keys are used (aws configure, AWS_PROFILE, --aws-profile).",
        )
    if "?" in text or "#" in text:
        raise UsageError(
            f"{label} has a ? or a # in it",
            next_step="A signed address is for one file only. " + _FORMS,
        )
    bucket, prefix = _split(service, text, label)
    parts = [part for part in prefix.split("/") if part]
    while parts and parts[-1] in {"*", "**", MANIFEST_NAME}:
        parts.pop()
    if any(part in {".", ".."} or not part.isprintable() for part in parts):
        raise UsageError(
            f"{label}: this cannot be a place in a bucket",
            next_step="Write it without . and .. in it.",
        )
    for at, part in enumerate(parts):
        if part == "files" and at and re.fullmatch(r"[0-9]+(?:\.[0-9]+)+", parts[at - 1]):
            raise UsageError(
                f"{label} names a part of a version",
                next_step=f"Write {service.scheme}://…/{'/'.join(parts[:at][-2:])} there, and "
                "--shard p10, or the path as an argument, for the part.",
            )
    return StoreAddress(service, bucket, "/".join(parts))


def _split(service: Service, text: str, label: str) -> tuple[str, str]:
    """Return bucket and prefix."""
    if service is Service.S3 and _ARN.match(text):
        match = ACCESS_POINT.match(text)
        rest = text[match.end() :] if match else "?"
        if match is None or rest[:1] not in {"", "/", ":"}:
            raise UsageError(
                f"{label}: this is not the ARN of an access point",
                next_step="It is arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME; the dataset's page "
                "shows yours, under the files.",
            )
        arn = match[0].replace("accesspoint:", "accesspoint/")
        return arn, re.sub(r"\A/object/", "/", rest[:1].replace(":", "/") + rest[1:])
    bucket, _, prefix = text.partition("/")
    if not bucket:
        raise UsageError(f"{label} names no bucket", next_step=_FORMS)
    if not _BUCKET.fullmatch(bucket):
        raise UsageError(f"{label}: {shown_word(bucket)!r} cannot be a bucket", next_step=_FORMS)
    return bucket, prefix


def _other_address(text: str, label: str) -> UsageError:
    """Return the error for an address that is no store's; it says what to write instead."""
    shown = shown_word(text)
    meant = None if set(text) & set("@?#") else store_of_web_address(text)
    if meant is not None:
        step = f"Write {label} {meant}."
    elif text.casefold().startswith("file:"):
        step = "Write the folder's path, without file:// in front."
    elif "physionet.org" in text.casefold():
        step = f"PhysioNet is the source without {label}; another address of it is --base-url."
    else:
        step = "Another server than PhysioNet is named with --base-url. " + _FORMS
    return UsageError(
        f"{label} {shown}: it is an address, not a folder of this machine", next_step=step
    )


def store_of_web_address(text: str) -> StoreAddress | None:
    """Return the store that an https:// address of a cloud means; None if it means none."""
    try:
        address = urlsplit(text)
        host, path = (address.hostname or "").casefold(), unquote(address.path).strip("/")
    except ValueError:
        return None
    if host in _GCS_HOSTS:
        bucket, _, prefix = path.removeprefix(_CONSOLE).partition("/")
        return StoreAddress(Service.GCS, bucket, prefix) if _BUCKET.fullmatch(bucket) else None
    if point := _S3_POINT.fullmatch(host):
        arn = f"arn:aws:s3:{point['region']}:{point['account']}:accesspoint/{point['name']}"
        return StoreAddress(Service.S3, arn, path)
    if s3 := _S3_HOST.fullmatch(host):
        bucket, _, prefix = (s3["bucket"], "", path) if s3["bucket"] else path.partition("/")
        return StoreAddress(Service.S3, bucket, prefix) if _BUCKET.fullmatch(bucket) else None
    return None


def bucket_as_destination(word: str) -> UsageError | None:
    """Return the error for a destination that is a bucket; None if it is none."""
    match = _SCHEME.fullmatch(word.strip())
    is_store = match is not None and match[1].casefold() in _SCHEMES
    if not is_store and not _ARN.match(word.strip()) and not _is_store_url(word):
        return None
    shown = re.sub(r"\A([a-z0-9]+:)/(?!/)", r"\1//", word.strip())  # a path has lost a slash
    return UsageError(
        f"--dest {shown_word(shown)}: a bucket cannot be the destination",
        next_step="The data use agreement forbids to serve the files again, and a bucket is made "
        "to serve. Work on a machine in the store's region, with the tree on its disk: "
        "docs/cloud.md has the recipe.",
    )


def _is_store_url(word: str) -> bool:
    text = re.sub(r"\A(https?):/(?!/)", r"\1://", word.strip())
    return is_address(text) and store_of_web_address(text) is not None


def is_server_address(url: str) -> bool:
    """Return whether it is the http:// or https:// address of a server, or of a folder there."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        host.encode("idna").decode("idna")  # xn--.example is no name, whatever it looks like
        is_valid = parts.scheme in {"http", "https"} and host and parts.port != 0
    except ValueError:  # an unclosed bracket, an invalid port, or no host name
        return False
    # Query and fragment would stay in each address that is made of it.
    return bool(is_valid) and not (parts.query or parts.fragment) and url.isprintable()


def check_endpoint_url(url: str, places: Iterable[object], label: str = "--endpoint-url") -> str:
    """Return the address of another store than AWS. ``places``: what ``--from`` names; ``label``
    begins the messages.

    Raises UsageError, which shows no password.
    """
    if "@" in url:
        raise UsageError(
            f"{label} contains a key or a password",
            next_step="Leave it out: the keys come from AWS's usual places (aws configure).",
        )
    if not is_server_address(url):
        raise UsageError(
            f"{label} {shown_word(url)!r} is not an address",
            next_step="It begins with https://, such as https://minio.example.org:9000.",
        )
    for place in places:
        if not isinstance(place, StoreAddress) or place.bucket:
            continue
        raise UsageError(
            f"{label} names another store, and --from {place} names PhysioNet's own copy",
            next_step="Name the bucket there: --from s3://BUCKET/PREFIX.",
        )
    return url.rstrip("/")
