"""What a user pastes as a place: the name of a dataset, or an address of PhysioNet. Pure.

``mimic-cxr-jpg``, ``MIMIC-CXR-JPG/2.1.0``, ``https://physionet.org/content/mimic-cxr-jpg/2.1.0/``,
``https://physionet.org/files/mimic-cxr-jpg/2.1.0/files/p10/`` and the like.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from cxrsync.catalog.dataset_info import NAME, DatasetInfo
from cxrsync.config.job import LATEST
from cxrsync.errors import UsageError
from cxrsync.sanitize import shown_word

HOST = "physionet.org"
_ADDRESS_FORM = f"The address of a dataset is https://{HOST}/content/NAME/VERSION/."
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_BARE_ADDRESS = re.compile(
    r"(?:[^\s/@]*@)?(?:www\.|alpha\.)?physionet\.org(?:[/:?#]|$)", re.IGNORECASE
)
_VERSION = re.compile(r"v?([0-9]+(?:\.[0-9A-Za-z-]+)*)", re.IGNORECASE)
_NAME_AND_VERSION = re.compile(r"(.+?)[-=@: ]+v?([0-9]+(?:\.[0-9]+)+)")
_NOT_LETTERS = re.compile(r"[^a-z0-9]+")
# Pages of a dataset: their addresses are /content/SLUG/PAGE/VERSION/.
_PAGES = frozenset({"view-dua", "sign-dua", "view-license", "get-zip", "view-required-trainings"})
# What comes before the name of the dataset in an address.
_ROOTS = (
    ("files",), ("content",), ("works",), ("sign-dua",), ("view-dua",), ("request-access",),
    ("static", "published-projects"),
    ("api", "v1", "project", "published"), ("api", "v1", "projects", "published"),
)  # fmt: skip
_FOLDER = "files"  # of a version: the shards are below it


@dataclass(frozen=True, slots=True)
class Place:
    """A dataset, one of its versions, or a file or folder in it, as far as the user names them.

    dataset: "" for a path in the dataset that is named elsewhere. path: without a final slash.
    """

    dataset: str
    version: str | None = None
    path: str = ""


def parse_place(word: str, label: str, base_url: str, known: Mapping[str, DatasetInfo]) -> Place:
    """Return the place that a word names. ``label`` begins the messages.

    ``base_url``: the address of the files, which may be another server's. ``known``: the catalogue.
    Raises UsageError, which never shows a password.
    """
    text = word.strip()
    if _BARE_ADDRESS.match(text):
        text = f"https://{text}"
    if not _SCHEME.match(text):
        parts = text.replace("\\", "/").split("/")
        if parts[0] in {"", "."}:
            parts = parts[1:] or [""]
        if parts[:1] == [_FOLDER]:
            return Place("", None, _path(parts, label))
        return _place(parts, label, known)
    parts = _parts_of_address(text, label, base_url)
    if not parts or not parts[0]:
        raise UsageError(
            f"{label}: this address names no dataset",
            next_step=_ADDRESS_FORM,
        )
    return _place(parts, label, known)


def is_address(word: str) -> bool:
    """Return whether a word is an address on the web, with or without https://."""
    return bool(_SCHEME.match(word.strip()) or _BARE_ADDRESS.match(word.strip()))


def parse_version(word: str) -> str:
    """Return a version as folders have it: without a v before it; any other word unchanged."""
    text = word.strip().strip("/")
    if text.casefold() == LATEST:
        return LATEST
    match = _VERSION.fullmatch(text)
    return match[1] if match else word


def _parts_of_address(text: str, label: str, base_url: str) -> list[str]:
    """Return the parts of an address after what comes before the dataset."""
    try:
        address, base = urlsplit(text), urlsplit(base_url)
        host, port = address.hostname or "", address.port
        is_base = (host, port) == (base.hostname, base.port)
    except ValueError:
        raise UsageError(f"{label}: this is not a valid address", next_step=_ADDRESS_FORM) from None
    if "@" in address.netloc:
        raise UsageError(
            f"{label} contains a user name or a password",
            next_step="Leave it out. Use --user, and PHYSIONET_PASSWORD or ~/.netrc.",
        )
    is_ours = host == HOST or host.endswith(f".{HOST}")
    if address.scheme.casefold() not in {"http", "https"} or not (is_ours or is_base):
        raise UsageError(
            f"{label} {shown_word(text)!r} is no address of {HOST}",
            next_step="Name the dataset, such as mimic-cxr-jpg. Another server is named with "
            "--base-url, and a local tree with --from.",
        )
    parts = [unquote(part) for part in address.path.split("/")[1:]]
    roots = [tuple(part for part in base.path.split("/") if part)] if is_base else []
    for root in (*roots, *_ROOTS):
        if tuple(parts[: len(root)]) == root:
            rest = parts[len(root) :]
            if len(rest) > 1 and rest[1] in _PAGES:
                del rest[1]
            return rest[:1] if root[0] == "static" else rest
    return []


def _place(parts: list[str], label: str, known: Mapping[str, DatasetInfo]) -> Place:
    """Return the place of parts that begin with the name of a dataset."""
    dataset = known_name(parts[0], known)
    rest = parts[1:]
    version: str | None = None
    if dataset is None and (match := _NAME_AND_VERSION.fullmatch(parts[0])):
        dataset = known_name(match[1], known)
        version = match[2] if dataset else None
    name = dataset or parts[0].strip().casefold()
    if dataset is None and not NAME.fullmatch(name):
        return Place(name)  # it will be refused
    if version is None and rest and rest[0]:
        version, rest = parse_version(rest[0]), rest[1:]
        if version != LATEST and not _VERSION.fullmatch(version):
            raise UsageError(
                f"{label}: {version!r} is not a version of {name}",
                next_step=f"Write NAME/VERSION, such as {name}/2.1.0, or the address of a file.",
            )
    return Place(name, version, _path(rest, label))


def known_name(word: str, known: Mapping[str, DatasetInfo]) -> str | None:
    """Return the slug of the dataset of the catalogue that a word names; None if there is none.

    A name is its slug, its alias or its title, whatever its case, dashes and blanks.
    """
    letters = _letters(word)
    if not letters:
        return None
    for slug, info in known.items():
        title = info.title.partition(" - ")[0]
        if letters in {_letters(name) for name in (slug, info.alias, info.title, title) if name}:
            return slug
    return None


def _letters(text: str) -> str:
    return _NOT_LETTERS.sub("", text.casefold())


def _path(parts: list[str], label: str) -> str:
    """Return parts as a path. Raises UsageError for one that leads elsewhere."""
    path = "/".join(parts).rstrip("/")
    if path.endswith("index.html"):
        path = path.removesuffix("index.html").rstrip("/")  # wget's name of a folder
    steps = path.split("/") if path else []
    if any(step in {"", ".", ".."} or not step.isprintable() for step in steps):
        raise UsageError(
            f"{label}: this cannot be the path of a file in a dataset",
            next_step="Write it as the manifest does, without .. in it; `cxrsync ls` lists paths.",
        )
    return path
