"""What a dataset looks like, read from ``configs/datasets.yaml`` (shipped in the wheel).

The catalogue is a convenience, never a gate: a dataset that it does not know is fetched from its
manifest alone. A user's own file adds datasets, or says other things of the known ones.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import msgspec

from cxrsync.catalog.dataset_info import (
    IMAGES,
    METADATA,
    NAME,
    OWN_CATALOGUE,
    STUDIES,
    DatasetInfo,
)
from cxrsync.catalog.validate import Words, validated
from cxrsync.catalog.yaml_file import read_yaml
from cxrsync.errors import UsageError
from cxrsync.model import Kind

_HERE = Path(__file__).resolve().parent.parent
_NAME = "datasets.yaml"
# What a file of a dataset outside the catalogue is taken for.
_COMMON_KINDS: dict[Kind, list[str]] = {
    Kind.IMAGES: ["*.dcm", "*.jpg", "*.jpeg", "*.png", "*.tif", "*.tiff"],
    Kind.TABLES: ["*.csv", "*.csv.gz", "*.parquet"],
    Kind.ARCHIVES: ["*.zip", "*.tar", "*.tar.gz", "*.tgz", "*.7z"],
}
# Which files of the root tell whose a study or an image is, unless the catalogue says otherwise.
_LISTS = {STUDIES: "cxr-study-list.csv*", IMAGES: "cxr-record-list.csv*"}


_Name = Annotated[str, msgspec.Meta(pattern=rf"\A(?:{NAME.pattern})\Z")]
_OtherName = Annotated[str, msgspec.Meta(pattern=rf"\A(?:{NAME.pattern})?\Z")]
_Mean = Annotated[int, msgspec.Meta(ge=0, lt=1 << 50)]  # more than any file system takes is a slip


class _Entry(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One dataset in a catalogue file; configs/datasets.yaml tells what the fields mean."""

    title: str = ""
    alias: str = ""
    versions: tuple[_Name, ...] = ()
    shards: tuple[str, ...] = ()
    kinds: dict[Kind, list[str]] = msgspec.field(default_factory=lambda: dict(_COMMON_KINDS))
    means: dict[Kind, _Mean] = {}
    agreement: str = ""
    elsewhere: str = ""
    tables: dict[str, str] = {}
    tables_in: _OtherName = ""
    reports_in: _OtherName = ""
    reports_archive: str = ""
    splits: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


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
        agreement=entry.agreement or f"https://physionet.org/content/{slug}/",
        elsewhere=entry.elsewhere,
        patterns=tuple(
            (kind, re.compile("|".join(fnmatch.translate(glob) for glob in globs)))
            for kind, globs in entry.kinds.items()
        ),
        tables=_tables(entry.tables),
        tables_in=entry.tables_in,
        reports_in=entry.reports_in,
        reports_archive=entry.reports_archive,
        splits=entry.splits,
        views=entry.views,
        labels=entry.labels,
    )


def _tables(named: Mapping[str, str]) -> dict[str, str]:
    """What is named, and where to look whose a study or an image is: each row of the metadata
    tells it; where there are none, lists do."""
    metadata = named.get(METADATA)
    lists = _LISTS if metadata is None else dict.fromkeys(_LISTS, metadata)
    return {**lists, **named}


@cache
def load() -> Mapping[str, DatasetInfo]:
    """The catalogue by slug, in the order of the file; then what the user's own file adds.

    Raises UsageError for a file that cannot be understood.
    """
    known = _read(_shipped())
    own = _own()
    for slug, fields in (_read(own) if own is not None else {}).items():
        known[slug] = {**known.get(slug, {}), **fields}
    return {slug: _info(slug, msgspec.convert(fields, _Entry)) for slug, fields in known.items()}


def _shipped() -> Path:
    # A checkout keeps configs/ at its top; the wheel carries it inside the package.
    for folder in (_HERE / "configs", _HERE.parent / "configs"):
        if (folder / _NAME).is_file():
            return folder / _NAME
    raise UsageError(
        f"configs/{_NAME} is missing from the installation", next_step="Install cxrsync again."
    )


def _own() -> Path | None:
    """The user's own file, if there is one."""
    named = os.environ.get(OWN_CATALOGUE)
    if named is not None:
        if not named.strip():
            raise UsageError(
                f"the variable {OWN_CATALOGUE} is set, but empty",
                next_step="Name a catalogue file with it, or unset it.",
            )
        return Path(named)
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    usual = Path(home) / "cxrsync" / _NAME
    return usual if usual.is_file() else None


def _read(file: Path) -> dict[str, dict[str, Any]]:
    """The entries of a catalogue, their form checked. Raises UsageError."""
    document = read_yaml(file, f"the catalogue {file}")
    if document.value is None:
        return {}
    validated(document, dict[_Name, _Entry], _WORDS)
    entries: dict[str, dict[str, Any]] = document.value
    return entries


def dataset_info(slug: str) -> DatasetInfo:
    """The dataset ``slug``: from the catalogue, or what can be said of any dataset."""
    known = load().get(slug)
    return known if known is not None else _info(slug, _Entry())
