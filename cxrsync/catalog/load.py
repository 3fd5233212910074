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
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from cxrsync.catalog.dataset_info import (
    IMAGES,
    METADATA,
    NAME,
    OWN_CATALOGUE,
    STUDIES,
    DatasetInfo,
    suggest,
)
from cxrsync.errors import UsageError
from cxrsync.model import Kind
from cxrsync.sanitize import reason_of

_HERE = Path(__file__).resolve().parent.parent
_NAME = "datasets.yaml"
# A catalogue in bytes, and what its aliases make of it in characters: a few lines of aliases of
# aliases come to more than any memory.
_MAX_BYTES = 256 << 10
_MAX_EXPANDED = 1 << 20
# Bytes of one file: more than any file system takes is a slip.
_MAX_MEAN = 1 << 50

# What a file of a dataset outside the catalogue is taken for.
_COMMON_KINDS: dict[str, list[str]] = {
    "images": ["*.dcm", "*.jpg", "*.jpeg", "*.png", "*.tif", "*.tiff"],
    "tables": ["*.csv", "*.csv.gz", "*.parquet"],
    "archives": ["*.zip", "*.tar", "*.tar.gz", "*.tgz", "*.7z"],
}
# Which files of the root tell whose a study or an image is, unless the catalogue says otherwise.
_LISTS = {STUDIES: "cxr-study-list.csv*", IMAGES: "cxr-record-list.csv*"}


def _parse(slug: str, raw: Mapping[str, Any]) -> DatasetInfo:
    kinds = raw.get("kinds", _COMMON_KINDS)
    return DatasetInfo(
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
        tables=_tables(raw.get("tables", {})),
        tables_in=raw.get("tables_in", ""),
        reports_in=raw.get("reports_in", ""),
        reports_archive=raw.get("reports_archive", ""),
        splits=tuple(raw.get("splits", ())),
        views=tuple(raw.get("views", ())),
        labels=tuple(raw.get("labels", ())),
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
    return {slug: _parse(slug, fields) for slug, fields in known.items()}


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
    try:
        raw = _load_yaml(file) or {}
    except OSError as problem:
        raise UsageError(f"cannot read the catalogue {file}: {reason_of(problem)}") from None
    except _NO_YAML as problem:
        where = _where(problem)
        raise UsageError(f"the catalogue {file} is no YAML: {where}") from None
    if not isinstance(raw, dict):
        raise _malformed(file, "it is not a mapping of names to datasets")
    for slug, fields in raw.items():
        if not isinstance(slug, str) or not isinstance(fields, dict):
            raise _malformed(file, f"{slug!r} is not a name with fields below it")
        _check_form(file, slug, fields)
        _check_values(file, slug, fields)
    return raw


def _check_form(file: Path, slug: str, fields: dict[Any, Any]) -> None:
    for name, value in fields.items():
        form = _FORMS.get(name)
        if form is None:
            raise _malformed(file, f"{slug}: no field {name!r} is known: near {_near(name)}")
        if not _has_form(value, form):
            raise _malformed(file, f"{slug}: {name} is not {form.words}")


def _check_values(file: Path, slug: str, fields: dict[str, Any]) -> None:
    others = filter(None, (fields.get("tables_in"), fields.get("reports_in")))
    for name in (slug, *others, *fields.get("versions", ())):
        if not NAME.fullmatch(name):
            raise _malformed(file, f"{slug}: {name!r} is no name of a dataset or a version")
    for kind in [*fields.get("kinds", {}), *fields.get("means", {})]:
        if kind not in {each.value for each in Kind}:
            kinds = suggest(str(kind), [each.value for each in Kind])
            raise _malformed(file, f"{slug}: {kind!r} is no kind of file: near {kinds}")
    if not all(0 <= mean < _MAX_MEAN for mean in fields.get("means", {}).values()):
        raise _malformed(file, f"{slug}: means is not {_FORMS['means'].words}")


# No UTF-8, no such day, … and what PyYAML lets out where a tag and its text do not go together.
_NO_YAML = (
    yaml.YAMLError, ValueError, LookupError, AttributeError,
    TypeError, ArithmeticError, RecursionError,
)  # fmt: skip


class _TooLarge(ValueError):
    """More than any catalogue comes to."""


def _where(problem: Exception) -> str:
    """What is wrong with it, and where; PyYAML's own words would quote the file."""
    mark = getattr(problem, "problem_mark", None)
    place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
    return place + reason_of(problem)


class _Loader(yaml.SafeLoader):
    """Weighs what it reads, a node that is named again each time anew."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._weights: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        node = super().compose_node(parent, index)
        if node is not None and node not in self._weights:
            weight = self._weights[node] = 1 + self._weigh(node)
            if weight > _MAX_EXPANDED:
                raise _TooLarge("its aliases make it too large")
        return node

    def _weigh(self, node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return len(node.value)
        below = (
            chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else node.value
        )
        return sum(self._weights[each] for each in below)


def _load_yaml(file: Path) -> object:
    with file.open("rb") as stream:
        text = stream.read(_MAX_BYTES + 1)
    if len(text) > _MAX_BYTES:
        raise _TooLarge(f"it has more than {_MAX_BYTES:,} bytes")
    return yaml.load(text.decode("utf-8"), _Loader)  # noqa: S506 - it is a SafeLoader


class _Form(NamedTuple):
    words: str
    outer: type
    inner: type = str


_TEXT = _Form("a text (in quotes, if it looks like a number)", str)
_TEXTS = _Form("a list of texts (in quotes, if they look like numbers)", list)
_FORMS = {
    **dict.fromkeys(("title", "alias", "agreement", "elsewhere"), _TEXT),
    **dict.fromkeys(("tables_in", "reports_in", "reports_archive"), _TEXT),
    **dict.fromkeys(("versions", "shards", "splits", "views", "labels"), _TEXTS),
    "kinds": _Form("a mapping of kinds to lists of globs", dict, list),
    "means": _Form("a mapping of kinds to bytes", dict, int),
    "tables": _Form("a mapping of tables to globs", dict),
}


def _has_form(value: object, form: _Form) -> bool:
    if type(value) is not form.outer:
        return False
    inner = list(value.values()) if isinstance(value, dict) else value
    if isinstance(value, dict) and not all(isinstance(name, str) for name in value):
        return False
    if not isinstance(inner, list):
        return True
    # By type, not isinstance: to YAML a bare "yes" is True, to Python True is a number.
    return all(type(each) is form.inner for each in inner) and all(
        _has_form(each, _TEXTS) for each in inner if isinstance(each, list)
    )


def _near(name: object) -> str:
    return suggest(str(name), list(_FORMS))


def _malformed(file: Path, what: str) -> UsageError:
    return UsageError(
        f"the catalogue {file}: {what}",
        next_step="configs/datasets.yaml in the installation shows the form.",
    )


def dataset_info(slug: str) -> DatasetInfo:
    """The dataset ``slug``: from the catalogue, or what can be said of any dataset."""
    known = load().get(slug)
    return known if known is not None else _parse(slug, {})
