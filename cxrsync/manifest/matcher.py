"""Which entries of a manifest a selection means."""

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


def _globs(patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    if not patterns:
        return None
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns))


def matcher_for(
    selection: Selection, dataset: DatasetInfo, chosen: ImageFilter = NO_FILTER
) -> PathMatcher:
    """A function that tells whether the file at a path is selected.

    ``chosen`` is what tables, sample and limit make of the selection. Globs are matched against
    the whole path, and ``*`` crosses ``/``. What chooses among images brings the tables of the
    version's root along unless it says otherwise (``--no-tables``, ``--only``).
    """
    if selection.whole:
        return lambda _path: True
    only = frozenset(selection.only)
    include = _globs(selection.include)
    exclude = _globs(selection.exclude)
    in_shards = _by_place(selection, chosen)

    def in_root(path: str) -> bool:
        if not selection.narrows or only:
            return True
        return selection.tables and dataset.kind_of(path) is Kind.TABLES

    def is_wanted(path: str) -> bool:
        if partition_of(path) == ROOT:
            if not in_root(path):
                return False
        elif not in_shards(path):
            return False
        if only and dataset.kind_of(path) not in only:
            return False
        if include is not None and not include.match(path):
            return False
        if exclude is not None and exclude.match(path):
            return False
        return chosen.last is None or path <= chosen.last or is_accompanying_table(path, selection)

    return is_wanted


def is_accompanying_table(path: str, selection: Selection) -> bool:
    """Whether a selected file is one of the tables that come along without being asked for."""
    return selection.brings_tables and partition_of(path) == ROOT


def _by_place(selection: Selection, chosen: ImageFilter) -> PathMatcher:
    """Whether a file of a shard is meant, by its subject, study and image."""
    shards = frozenset(selection.shards)
    subjects = frozenset(selection.subjects)
    studies = frozenset(map(study_key, selection.studies))
    by_place = bool(subjects or studies or selection.images) or chosen != ImageFilter(
        last=chosen.last
    )

    def is_meant(path: str) -> bool:
        if shards and partition_of(path) not in shards:
            return False
        if not by_place:
            return True
        place = parse_image_path(path)
        if place is None:
            return False
        if subjects and place.subject not in subjects:
            return False
        if chosen.subjects is not None and place.subject not in chosen.subjects:
            return False
        study = study_key(place.study)
        if studies and study not in studies:
            return False
        if chosen.studies is not None and study not in chosen.studies:
            return False
        if place.image:
            return chosen.images is None or image_key(place.image) in chosen.images
        return chosen.image_studies is None or study in chosen.image_studies

    return is_meant


def any_matcher(tests: Iterable[PathMatcher]) -> PathMatcher:
    """A function that tells whether any of several selections means the file at a path."""
    tests = list(tests)
    if len(tests) == 1:
        return tests[0]
    return lambda path: any(test(path) for test in tests)
