"""Load the catalogue: ``configs/datasets.yaml`` (part of the wheel), and the user's own file.

Beside the shipped file lies the same as JSON, which is read in a hundredth of the time. It counts
only while it has the digest of the YAML file, so that a change there always takes effect.

A dataset without an entry works too: its manifest is enough to fetch it. The user's own file adds
datasets, or changes fields of known ones.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from cxrsync.catalog.citation import CitationInfo, Work
from cxrsync.catalog.dataset_info import (
    IMAGES,
    METADATA,
    NAME,
    OWN_CATALOGUE,
    STUDIES,
    DatasetInfo,
    suggest,
)
from cxrsync.catalog.stores import STORES, GcsCopies, Price, S3Copies, Stores
from cxrsync.catalog.validate import Words, validated
from cxrsync.errors import UsageError
from cxrsync.model import Kind

_HERE = Path(__file__).resolve().parent.parent
_NAME, _QUICK_NAME = "datasets.yaml", "datasets.json"
# Kinds of the files of a dataset that has no entry.
_COMMON_KINDS: dict[Kind, list[str]] = {
    Kind.IMAGES: ["*.dcm", "*.jpg", "*.jpeg", "*.png", "*.tif", "*.tiff"],
    Kind.TABLES: ["*.csv", "*.csv.gz", "*.parquet"],
    Kind.ARCHIVES: ["*.zip", "*.tar", "*.tar.gz", "*.tgz", "*.7z"],
}
# The files of the root that map studies and images to subjects, unless the catalogue names others.
_LISTS = {STUDIES: "cxr-study-list.csv*", IMAGES: "cxr-record-list.csv*"}


_Name = Annotated[str, msgspec.Meta(pattern=rf"\A(?:{NAME.pattern})\Z")]
_OtherName = Annotated[str, msgspec.Meta(pattern=rf"\A(?:{NAME.pattern})?\Z")]
_Mean = Annotated[int, msgspec.Meta(ge=0, lt=1 << 50)]  # no file system stores larger files
_Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 50)]


_Year = Annotated[int, msgspec.Meta(ge=1900, lt=3000)]


class _Article(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The article that describes a dataset."""

    title: str
    authors: tuple[str, ...]
    journal: str
    year: _Year
    volume: str = ""
    pages: str = ""
    doi: str = ""


class _Entry(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One entry of a catalogue file; configs/datasets.yaml explains the fields."""

    title: str = ""
    alias: str = ""
    versions: tuple[_Name, ...] = ()
    shards: tuple[str, ...] = ()
    kinds: dict[Kind, list[str]] = msgspec.field(default_factory=lambda: dict(_COMMON_KINDS))
    means: dict[Kind, _Mean] = {}
    counts: dict[Kind, _Count] = {}
    dois: dict[_Name, str] = {}
    license: str = ""
    authors: tuple[str, ...] = ()
    years: dict[_Name, _Year] = {}
    paper: _Article | None = None
    agreement: str = ""
    elsewhere: str = ""
    tables: dict[str, str] = {}
    table_files: tuple[str, ...] = ()
    tables_in: _OtherName = ""
    reports_in: _OtherName = ""
    reports_archive: str = ""
    splits: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


class _Quick(msgspec.Struct):
    """The shipped catalogue as JSON. sha256: of the YAML file."""

    sha256: str
    datasets: dict[str, dict[str, Any]]
    stores: dict[str, Any]


_STORES_WORDS = Words(
    fields=[
        name for kind in (Stores, S3Copies, GcsCopies, Price) for name in kind.__struct_fields__
    ],
    values=[],
    pattern="in the form of this field",
    see="configs/datasets.yaml in the installation shows the form.",
)
_WORDS = Words(
    fields=_Entry.__struct_fields__,
    values=[kind.value for kind in Kind],
    pattern="the name of a dataset or a version",
    see="configs/datasets.yaml in the installation shows the form.",
)


def _info(slug: str, entry: _Entry) -> DatasetInfo:
    return DatasetInfo(
        slug=slug,
        title=entry.title or slug,
        alias=entry.alias,
        versions=entry.versions,
        shards=entry.shards,
        means=entry.means,
        counts=entry.counts,
        dois=entry.dois,
        license=entry.license,
        citation=_citation(entry),
        agreement=entry.agreement or f"https://physionet.org/content/{slug}/",
        elsewhere=entry.elsewhere,
        patterns=tuple(
            (kind, re.compile("|".join(fnmatch.translate(glob) for glob in globs)))
            for kind, globs in entry.kinds.items()
        ),
        tables=_tables(entry.tables),
        table_files=entry.table_files,
        tables_in=entry.tables_in,
        reports_in=entry.reports_in,
        reports_archive=entry.reports_archive,
        splits=entry.splits,
        views=entry.views,
        labels=entry.labels,
    )


def _citation(entry: _Entry) -> CitationInfo:
    article = None if entry.paper is None else Work(**msgspec.structs.asdict(entry.paper))
    return CitationInfo(entry.authors, entry.years, article)


def _tables(named: Mapping[str, str]) -> dict[str, str]:
    """Return the globs of tables by role, with those that map studies and images to subjects.

    Each row of the metadata names the subject. If there is no metadata table, lists do.
    """
    metadata = named.get(METADATA)
    lists = _LISTS if metadata is None else dict.fromkeys(_LISTS, metadata)
    return {**lists, **named}


def load() -> Mapping[str, DatasetInfo]:
    """Return the catalogue by slug: the shipped entries in order, then those of the user's file.

    A file is read once, until it is changed or another one is named.

    Raises UsageError for a file that cannot be read or has a wrong form.
    """
    own = own_catalogue()
    return _load(own, _state_of(own)).datasets


def load_stores() -> Stores:
    """Return where the copies in the clouds are. Raises UsageError as :func:`load` does."""
    own = own_catalogue()
    return _load(own, _state_of(own)).stores


def _state_of(file: Path | None) -> tuple[int, ...]:
    """Return what changes with a file's content; nothing for a file that is not there."""
    try:
        found = os.stat(file) if file is not None else None
    except OSError:
        return ()  # reading it says why
    return () if found is None else (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


class _Catalogue(NamedTuple):
    datasets: Mapping[str, DatasetInfo]
    stores: Stores


@lru_cache(maxsize=4)
def _load(own: Path | None, _state: tuple[int, ...]) -> _Catalogue:
    known, stores = _read_shipped(_shipped())
    if own is not None:
        added, stores = _read(own, stores)
        for slug, fields in added.items():
            known[slug] = {**known.get(slug, {}), **fields}
    datasets = {
        slug: _info(slug, msgspec.convert(fields, _Entry)) for slug, fields in known.items()
    }
    return _Catalogue(datasets, msgspec.convert(stores, Stores))


def _shipped() -> Path:
    # configs/ is at the top of a checkout, but inside the package in a wheel.
    for folder in (_HERE / "configs", _HERE.parent / "configs"):
        if os.path.isfile(folder / _NAME):
            return folder / _NAME
    raise UsageError(
        f"configs/{_NAME} is missing from the installation", next_step="Install cxrsync again."
    )


def _read_shipped(file: Path) -> tuple[dict[str, dict[str, Any]], Mapping[str, Any]]:
    """Return what :func:`_read` does, from the JSON if it was made of this very file."""
    try:
        quick = msgspec.json.decode(file.with_name(_QUICK_NAME).read_bytes(), type=_Quick)
        if quick.sha256 == hashlib.sha256(file.read_bytes()).hexdigest():
            return quick.datasets, quick.stores
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        pass  # the YAML file says why it cannot be read, if it cannot
    return _read(file, {})


def as_quick_json(file: Path) -> bytes:
    """Return what stands in the JSON beside a catalogue file. Raises UsageError."""
    datasets, stores = _read(file, {})
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    quick = _Quick(digest, datasets, dict(stores))
    return msgspec.json.format(msgspec.json.encode(quick), indent=1) + b"\n"


def own_catalogue() -> Path | None:
    """Return the path of the user's own file, or None. Raises UsageError."""
    named = os.environ.get(OWN_CATALOGUE)
    if named is not None:
        if not named.strip():
            raise UsageError(
                f"the variable {OWN_CATALOGUE} is set, but empty",
                next_step="Set it to the path of a catalogue file, or unset it.",
            )
        return Path(named)
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    usual = Path(home) / "cxrsync" / _NAME
    # Not if we may not look: a service often has a home that it may not enter. Nor below a folder
    # that is called "~": the user has no home at all.
    return usual if os.path.isfile(usual) and not home.startswith("~") else None


def _read(
    file: Path, stores: Mapping[str, Any]
) -> tuple[dict[str, dict[str, Any]], Mapping[str, Any]]:
    """Return the checked entries of a catalogue file: datasets, and ``stores`` with its changes.
    Raises UsageError."""
    from cxrsync.catalog.yaml_file import read_yaml  # here: the shipped catalogue needs no YAML

    document = read_yaml(file, f"the catalogue {file}")
    if document.value is None:
        return {}, stores
    entries: dict[str, dict[str, Any]] = document.value
    if isinstance(entries, dict) and STORES in entries:
        stores = _changed(stores, entries[STORES])
        validated(replace(document, value={STORES: stores}), dict[str, Stores], _STORES_WORDS)
        entries = {slug: fields for slug, fields in entries.items() if slug != STORES}
    validated(replace(document, value=entries), dict[_Name, _Entry], _WORDS)
    return entries, stores


def _changed(before: Mapping[str, Any], own: Any) -> Any:
    """Return ``before`` with the user's fields in each of its mappings."""
    if not isinstance(own, dict):
        return own
    return {**before} | {
        name: {**before.get(name, {}), **fields} if isinstance(fields, dict) else fields
        for name, fields in own.items()
    }


def dataset_info(slug: str) -> DatasetInfo:
    """Return the entry of a dataset, or an entry that fits any dataset."""
    known = load().get(slug)
    return known if known is not None else _info(slug, _Entry())


def near_datasets(name: str) -> str:
    """Return the datasets whose name or alias is similar, else all that are known; as a phrase."""
    known = load()
    slugs = {slug: slug for slug in known}
    slugs |= {info.alias: slug for slug, info in known.items() if info.alias}
    near = suggest(name, list(slugs)).split(", ")
    return ", ".join(dict.fromkeys(slugs[each] for each in near))
