"""What is known about a dataset, and which of its trees are on this disk: frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.model import Kind

THE_SITE, THE_CATALOGUE, THE_DISK = "the site", "the catalogue", "the disk"


@dataclass(frozen=True, slots=True)
class TreeHere:
    """A tree of the dataset on this disk. ``files``, ``bytes``: what is recorded as verified; None
    if that cannot be read, or if another tool made the tree. ``version``: "" if it is unknown."""

    version: str
    root: Path
    files: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What is known about one version of a dataset, each with where it is from ("" if unknown).

    ``versions``: all of them, oldest first. ``bytes``: of the whole version. ``unanswered``: why
    the site says nothing. ``is_listed``: whether the site knows the dataset; None if it did not
    answer.
    """

    dataset: DatasetInfo
    version: str
    versions: tuple[str, ...]
    versions_from: str
    bytes: int | None = None
    bytes_from: str = ""
    files: Mapping[Kind, int] = field(default_factory=dict)
    files_from: str = ""
    tables: tuple[str, ...] = ()
    title: str = ""
    doi: str = ""
    license: str = ""
    here: tuple[TreeHere, ...] = ()
    unanswered: str = ""
    is_listed: bool | None = None
