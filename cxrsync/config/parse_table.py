"""What a user writes to name a table: its name, or the path or address that leads to it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.config.job import LATEST
from cxrsync.config.places import Place, is_address, known_name, parse_place, parse_version
from cxrsync.errors import UsageError

_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+)+")


def parse_table(word: str, base_url: str, known: Mapping[str, DatasetInfo]) -> Place:
    """Return the table that a word names: ``split``, ``mimic-cxr-jpg/split``, a path with or
    without a version, or an address. The dataset is "" if the word does not name it.

    Raises UsageError for a word that names no table.
    """
    text = word.strip()
    if is_address(text):
        place = parse_place(text, "the argument", base_url, known)
        if not place.path:
            raise _no_table(
                f"this address names {place.dataset}, but no table in it", place.dataset
            )
        return place
    text = text.removeprefix("./").rstrip("/")
    if not text:
        raise UsageError(
            "the argument is empty", next_step="Name a table: cxrsync head split, for example."
        )
    first, _, rest = text.partition("/")
    dataset = known_name(first, known)
    if dataset is None:
        return Place("", None, text)
    version = parse_version(rest.partition("/")[0])
    if version == LATEST or _VERSION.fullmatch(version):
        rest = rest.partition("/")[2]
    else:
        version = ""
    if not rest:
        raise _no_table(f"{text} is a dataset, and no table", dataset)
    return Place(dataset, version or None, rest)


def _no_table(what: str, dataset: str) -> UsageError:
    return UsageError(
        what,
        next_step=f"Name a table of it: cxrsync head {dataset}/TABLE. `cxrsync info {dataset}` "
        "lists them.",
    )
