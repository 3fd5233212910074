"""Matches paths against a selection."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable

from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.config.selection import Selection
from cxrsync.manifest.filters import ImageFilter
from cxrsync.manifest.path_ids import image_key, parse_image_path, study_key
from cxrsync.model import ROOT, Kind, partition_of

PathMatcher = Callable[[str], bool]

NO_FILTER = ImageFilter()
_WILD = re.compile(r"[*?\[]")


def is_glob(pattern: str) -> bool:
    """Return whether a pattern is more than one whole path."""
    return _WILD.search(pattern) is not None


def globs_matcher(patterns: Iterable[str]) -> PathMatcher | None:
    """Return a function that tells whether any of the globs matches a path; None for no globs.

    Of many globs most are whole paths, as in a list of files: these are looked up.
    """
    patterns = list(patterns)
    if not patterns:
        return None
    plain = frozenset(each for each in patterns if not is_glob(each))
    others = [fnmatch.translate(each) for each in patterns if is_glob(each)]
    if not others:
        return plain.__contains__
    wild = re.compile("|".join(others))
    return lambda path: path in plain or wild.match(path) is not None


def paths_matcher(paths: Iterable[str]) -> PathMatcher:
    """Return a function that tells whether a path is one of these files, or below a folder."""
    names = frozenset(paths)

    def matches(path: str) -> bool:
        return path in names or any(folder in names for folder in folders_of(path))

    return matches


def folders_of(path: str) -> list[str]:
    """Return the folders that a path is in, the outermost first."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def matcher_for(
    selection: Selection, dataset: DatasetInfo, chosen: ImageFilter = NO_FILTER
) -> PathMatcher:
    """Return a function that tells whether the file at a path is selected.

    ``chosen``: the conditions from tables, sample and limit. Globs match the whole path, and ``*``
    also matches ``/``. A selection of images also selects the tables in the version's root, unless
    ``--no-tables`` or ``--only`` is given.
    """
    if selection.whole:
        return lambda _path: True
    only = frozenset(selection.only)
    include = globs_matcher(selection.include)
    exclude = globs_matcher(selection.exclude)
    named = paths_matcher(selection.paths) if selection.paths else None
    in_shard = _ids_matcher(selection, chosen)

    def in_root(path: str) -> bool:
        if not selection.narrows or only:
            return True
        return selection.tables and dataset.kind_of(path) is Kind.TABLES

    def matches(path: str) -> bool:
        if partition_of(path) == ROOT:
            if not in_root(path):
                return False
        elif not in_shard(path):
            return False
        if only and dataset.kind_of(path) not in only:
            return False
        if named is not None and not named(path):
            return False
        if include is not None and not include(path):
            return False
        if exclude is not None and exclude(path):
            return False
        return chosen.last is None or path <= chosen.last or is_accompanying_table(path, selection)

    return matches


def is_accompanying_table(path: str, selection: Selection) -> bool:
    """Return whether a selected file is a table that is selected only to accompany images."""
    return selection.brings_tables and partition_of(path) == ROOT


def _ids_matcher(selection: Selection, chosen: ImageFilter) -> PathMatcher:
    """Return a test of the files in shards, by their subject, study and image."""
    shards = frozenset(selection.shards)
    subjects = frozenset(selection.subjects)
    studies = frozenset(map(study_key, selection.studies))
    needs_ids = bool(subjects or studies or selection.images) or chosen != ImageFilter(
        last=chosen.last
    )

    def matches_ids(path: str) -> bool:
        if shards and partition_of(path) not in shards:
            return False
        if not needs_ids:
            return True
        ids = parse_image_path(path)
        if ids is None:
            return False
        if subjects and ids.subject not in subjects:
            return False
        if chosen.subjects is not None and ids.subject not in chosen.subjects:
            return False
        study = study_key(ids.study)
        if studies and study not in studies:
            return False
        if chosen.studies is not None and study not in chosen.studies:
            return False
        if ids.image:
            return chosen.images is None or image_key(ids.image) in chosen.images
        return chosen.image_studies is None or study in chosen.image_studies

    return matches_ids


def any_matcher(tests: Iterable[PathMatcher]) -> PathMatcher:
    """Return a function that tells whether any of several matchers selects a path."""
    tests = list(tests)
    if len(tests) == 1:
        return tests[0]
    return lambda path: any(test(path) for test in tests)
