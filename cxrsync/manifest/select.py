"""Which entries of a manifest a selection means."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable

from cxrsync.catalog import Dataset
from cxrsync.job import Selection
from cxrsync.model import ROOT, Kind, partition_of

Wanted = Callable[[str], bool]


def _globs(patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    if not patterns:
        return None
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns))


def wanted(selection: Selection, dataset: Dataset) -> Wanted:
    """A function that tells whether the file at a path is selected.

    Globs are matched against the whole path, and ``*`` crosses ``/``. A selection of shards brings
    the tables of the version's root along unless it says otherwise (``--no-tables``, ``--only``).
    """
    if selection.whole:
        return lambda _path: True
    shards = frozenset(selection.shards)
    only = frozenset(selection.only)
    include = _globs(selection.include)
    exclude = _globs(selection.exclude)

    def in_shards(path: str) -> bool:
        partition = partition_of(path)
        if partition != ROOT:
            return partition in shards
        if only:
            return True
        return selection.tables and dataset.kind_of(path) is Kind.TABLES

    def is_wanted(path: str) -> bool:
        if shards and not in_shards(path):
            return False
        if only and dataset.kind_of(path) not in only:
            return False
        if include is not None and not include.match(path):
            return False
        return exclude is None or not exclude.match(path)

    return is_wanted


def any_wanted(selections: Iterable[Selection], dataset: Dataset) -> Wanted:
    """A function that tells whether any of the selections means the file at a path."""
    tests = [wanted(selection, dataset) for selection in selections]
    if len(tests) == 1:
        return tests[0]
    return lambda path: any(test(path) for test in tests)
