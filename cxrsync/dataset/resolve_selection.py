"""What a selection comes to in one version: which files, by manifest and tables together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cxrsync.catalog.dataset_info import METADATA, SPLIT, DatasetInfo, suggest
from cxrsync.config.selection import Selection
from cxrsync.dataset.tables import Tables, unknown_ids
from cxrsync.errors import NothingMeant
from cxrsync.manifest.file import ManifestFile
from cxrsync.manifest.filters import (
    ImageFilter,
    apply_limit,
    choose_images,
    choose_studies,
    draw_sample,
    studies_of,
)
from cxrsync.manifest.matcher import PathMatcher, any_matcher, is_brought, matcher_for
from cxrsync.manifest.path_ids import image_key, parse_image_path
from cxrsync.model import ROOT, Kind, partition_of


@dataclass(frozen=True, slots=True)
class ResolvedSelection:
    """The files that selections mean in one version: a test for a path, and where they lie."""

    is_wanted: PathMatcher
    partitions: frozenset[str]


def resolve_selection(
    selections: Sequence[Selection], dataset: DatasetInfo, manifest: ManifestFile, tables: Tables
) -> ResolvedSelection:
    """What the selections mean, together. Reads manifest and tables: call it from a thread.

    Raises NothingMeant for what does not exist, and where nothing is left, naming the filter that
    left nothing; UsageError, BadTable.
    """
    tests = []
    for selection in selections:
        check(selection, manifest, tables)
        tests.append(
            matcher_for(selection, dataset, apply_filters(selection, dataset, manifest, tables))
        )
    is_wanted = any_matcher(tests)
    if all(_by_shards_alone(selection) for selection in selections):
        names = {name for each in selections for name in _touched(each, manifest.partitions)}
        return ResolvedSelection(is_wanted, frozenset(names))
    names = {partition_of(path) for path in manifest.paths() if is_wanted(path)}
    if not names - ({ROOT} if all(each.brings_tables for each in selections) else set()):
        raise _nothing(selections[0], dataset, manifest, tables)
    return ResolvedSelection(is_wanted, frozenset(names))


def _by_shards_alone(selection: Selection) -> bool:
    return selection.whole or selection == Selection(
        shards=selection.shards, tables=selection.tables
    )


def _touched(selection: Selection, there: frozenset[str]) -> set[str]:
    if selection.whole:
        return set(there)
    return {*selection.shards, *([ROOT] if selection.brings_tables else [])} & there


def check(selection: Selection, manifest: ManifestFile, tables: Tables) -> None:
    """Refuse shards and ids that the manifest does not have. Raises NothingMeant."""
    lacking = [shard for shard in selection.shards if shard not in manifest.partitions]
    if lacking:
        shards = sorted(manifest.partitions - {ROOT})
        raise NothingMeant(
            f"the manifest has no shard {', '.join(lacking)}",
            next_step=f"It has {suggest(lacking[0], shards) or 'no shards at all'}.",
        )
    unseen = {
        "subject": set(selection.subjects),
        "study": set(selection.studies),
        "image": set(selection.images),
    }
    if not any(unseen.values()):
        return
    for path in manifest.paths():
        place = parse_image_path(path)
        if place is not None:
            unseen["subject"].discard(place.subject)
            unseen["study"].discard(place.study)
            unseen["image"].discard(place.image)
    for what, ids in unseen.items():
        if ids:
            raise unknown_ids(what, sorted(ids), tables.own)


def apply_filters(
    selection: Selection, dataset: DatasetInfo, manifest: ManifestFile, tables: Tables
) -> ImageFilter:
    """What tables, sample and limit make of a selection. Raises UsageError, BadTable."""
    chosen = _by_tables(selection, dataset, manifest, tables)
    if selection.sample is not None:
        drawn_from = replace(selection, sample=None, limit=None)
        is_wanted = matcher_for(drawn_from, dataset, chosen)
        chosen = draw_sample(selection.sample, filter(is_wanted, manifest.paths()), chosen)
    if selection.limit is not None:
        is_wanted = matcher_for(selection, dataset, chosen)
        paths = (
            path for path in manifest.paths() if is_wanted(path) and not is_brought(path, selection)
        )
        chosen = apply_limit(selection.limit, paths, chosen)
    return chosen


def _by_tables(
    selection: Selection, dataset: DatasetInfo, manifest: ManifestFile, tables: Tables
) -> ImageFilter:
    images = frozenset(map(image_key, selection.images)) if selection.images else None
    for role, column, values in (
        (SPLIT, "split", selection.splits),
        (METADATA, "ViewPosition", selection.views),
    ):
        if values:
            with tables.rows(selection, role, ("dicom_id", column)) as rows:
                images = choose_images(rows, frozenset(values), images)
    chosen = ImageFilter()
    if images is not None:
        has_reports = any(kind is Kind.REPORTS for kind, _pattern in dataset.patterns)
        # A table may know images that this version does not have: their reports are not meant.
        studies = studies_of(manifest.paths(), images) if has_reports else frozenset()
        chosen = ImageFilter(images, studies)
    if selection.labels:
        names = ("study_id", *(label.name for label in selection.labels))
        with tables.rows(selection, selection.labeler, names) as rows:
            chosen = replace(chosen, studies=choose_studies(rows, selection.labels))
    return chosen


def _nothing(
    selection: Selection, dataset: DatasetInfo, manifest: ManifestFile, tables: Tables
) -> NothingMeant:
    """The error for a selection that means nothing: which filter left nothing, of how much."""
    before = "the version"
    for words, far in selection.steps():
        is_wanted = matcher_for(far, dataset, apply_filters(far, dataset, manifest, tables))
        left = sum(is_wanted(path) and not is_brought(path, far) for path in manifest.paths())
        if not left:
            return NothingMeant(
                f"nothing is selected by: {selection}",
                next_step=f"{before} has files, but none of them is left after: {words}.",
            )
        before = f"{words} ({left:,} files)"
    return NothingMeant(f"nothing is selected by: {selection}")
