"""What a dataset looks like, read from ``configs/datasets.yaml`` (shipped in the wheel).

The catalogue is a convenience, never a gate: a dataset that it does not know is fetched from its
manifest alone.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from cxrsync.errors import UsageError
from cxrsync.model import Kind

_HERE = Path(__file__).resolve().parent

# What a file of a dataset outside the catalogue is taken for.
_COMMON_KINDS: dict[str, list[str]] = {
    "images": ["*.dcm", "*.jpg", "*.jpeg", "*.png", "*.tif", "*.tiff"],
    "tables": ["*.csv", "*.csv.gz", "*.parquet"],
    "archives": ["*.zip", "*.tar", "*.tar.gz", "*.tgz", "*.7z"],
}


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset. ``means`` holds the mean bytes of a file by kind, for estimates only."""

    slug: str
    title: str = ""
    alias: str = ""
    versions: tuple[str, ...] = ()
    shards: tuple[str, ...] = ()
    means: Mapping[Kind, int] = field(default_factory=dict)
    agreement: str = ""
    elsewhere: str = ""
    patterns: tuple[tuple[Kind, re.Pattern[str]], ...] = ()

    def kind_of(self, path: str) -> Kind:
        """The kind of the file at ``path`` (relative to the version's root); docs if none fits."""
        for kind, pattern in self.patterns:
            if pattern.match(path):
                return kind
        return Kind.DOCS


def nearest(name: str, known: tuple[str, ...] | list[str]) -> str:
    """``known`` as a phrase for an error message: the names near to ``name``, else all of them."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return ", ".join(near) if near else ", ".join(known)


def _parse(slug: str, raw: Mapping[str, Any]) -> Dataset:
    kinds = raw.get("kinds", _COMMON_KINDS)
    return Dataset(
        slug=slug,
        title=raw.get("title", slug),
        alias=raw.get("alias", ""),
        versions=tuple(str(version) for version in raw.get("versions", ())),
        shards=tuple(raw.get("shards", ())),
        means={Kind(kind): int(mean) for kind, mean in raw.get("means", {}).items()},
        agreement=raw.get("agreement", f"https://physionet.org/content/{slug}/"),
        elsewhere=raw.get("elsewhere", ""),
        patterns=tuple(
            (Kind(kind), re.compile("|".join(fnmatch.translate(glob) for glob in globs)))
            for kind, globs in kinds.items()
        ),
    )


@cache
def load() -> Mapping[str, Dataset]:
    """The catalogue by slug, in the order of the file."""
    # A checkout keeps configs/ at its top; the wheel carries it inside the package.
    for folder in (_HERE / "configs", _HERE.parent / "configs"):
        file = folder / "datasets.yaml"
        if file.is_file():
            raw = yaml.safe_load(file.read_text("utf-8"))
            return {slug: _parse(slug, fields) for slug, fields in raw.items()}
    raise UsageError(
        "configs/datasets.yaml is missing from the installation",
        next_step="Install cxrsync again.",
    )


def describe(slug: str) -> Dataset:
    """The dataset ``slug``: from the catalogue, or what can be said of any dataset."""
    known = load().get(slug)
    return known if known is not None else _parse(slug, {})
