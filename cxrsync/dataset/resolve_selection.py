"""Resolve a selection: which files it means in one version, by manifest and tables together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cxrsync.catalog.dataset_info import METADATA, SPLIT, suggest
from cxrsync.config.selection import Selection
from cxrsync.dataset.tables import Tables, unknown_ids
from cxrsync.dataset.target import Target
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
from cxrsync.manifest.matcher import PathMatcher, any_matcher, is_accompanying_table, matcher_for
from cxrsync.manifest.path_ids import image_key, parse_image_path
from cxrsync.model import ROOT, Entry, Kind, partition_of


@dataclass(frozen=True, slots=True)
class ResolvedSelection:
    """The files that selections mean in a target: the entries of ``manifest`` that ``is_wanted``
    accepts. They lie in ``partitions``. The manifest is closed by whoever opened it."""

    target: Target
    manifest: ManifestFile
    is_wanted: PathMatcher
    partitions: frozenset[str]

    def entries(self) -> Iterator[Entry]:
        """Each selected entry, in the manifest's order."""
        return (entry for _offset, entry in self.manifest.entries() if self.is_wanted(entry.path))

    def without(self, paths: frozenset[str]) -> ResolvedSelection:
        """The same, but for a few files."""
        is_wanted = self.is_wanted
        if not paths:
            return self
        return replace(self, is_wanted=lambda path: path not in paths and is_wanted(path))


def one_file(target: Target, manifest: ManifestFile, entry: Entry) -> ResolvedSelection:
    """One entry, as a selection."""
    partitions = frozenset({partition_of(entry.path)})
    return ResolvedSelection(target, manifest, lambda path: path == entry.path, partitions)


def resolve_selection(
    selections: Sequence[Selection], manifest: ManifestFile, tables: Tables
) -> ResolvedSelection:
    """The files that the selections mean together, in the tables' own target.

    Reads manifest and tables: call it in a thread.

    Raises NothingMeant for an id or shard that does not exist, and where a filter leaves nothing,
    naming that filter; UsageError, InvalidTable.
    """
    target = tables.own
    matchers = []
    for selection in selections:
        check(selection, manifest, tables)
        chosen = apply_filters(selection, manifest, tables)
        matchers.append(matcher_for(selection, target.dataset, chosen))
    is_wanted = any_matcher(matchers)
    if all(_by_shards_alone(selection) for selection in selections):
        names = {name for each in selections for name in _touched(each, manifest.partitions)}
        return ResolvedSelection(target, manifest, is_wanted, frozenset(names))
    names = {partition_of(path) for path in manifest.paths() if is_wanted(path)}
    if not names - ({ROOT} if all(each.brings_tables for each in selections) else set()):
        raise _nothing(selections[0], manifest, tables)
    return ResolvedSelection(target, manifest, is_wanted, frozenset(names))


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


def apply_filters(selection: Selection, manifest: ManifestFile, tables: Tables) -> ImageFilter:
    """What tables, sample and limit make of a selection. Raises UsageError, InvalidTable."""
    dataset = tables.own.dataset
    chosen = _by_tables(selection, manifest, tables)
    if selection.sample is not None:
        drawn_from = replace(selection, sample=None, limit=None)
        is_wanted = matcher_for(drawn_from, dataset, chosen)
        chosen = draw_sample(selection.sample, filter(is_wanted, manifest.paths()), chosen)
    if selection.limit is not None:
        is_wanted = matcher_for(selection, dataset, chosen)
        paths = (
            path
            for path in manifest.paths()
            if is_wanted(path) and not is_accompanying_table(path, selection)
        )
        chosen = apply_limit(selection.limit, paths, chosen)
    return chosen


def _by_tables(selection: Selection, manifest: ManifestFile, tables: Tables) -> ImageFilter:
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
        has_reports = any(kind is Kind.REPORTS for kind, _pattern in tables.own.dataset.patterns)
        # A table may know images that this version does not have: their reports are not meant.
        studies = studies_of(manifest.paths(), images) if has_reports else frozenset()
        chosen = ImageFilter(images, studies)
    if selection.labels:
        names = ("study_id", *(label.name for label in selection.labels))
        with tables.rows(selection, selection.labeler, names) as rows:
            chosen = replace(chosen, studies=choose_studies(rows, selection.labels))
    return chosen


def _nothing(selection: Selection, manifest: ManifestFile, tables: Tables) -> NothingMeant:
    """The error for a selection that means nothing: which filter left nothing, of how much."""
    before = "the version"
    for words, far in selection.steps():
        is_wanted = matcher_for(far, tables.own.dataset, apply_filters(far, manifest, tables))
        left = sum(
            is_wanted(path) and not is_accompanying_table(path, far) for path in manifest.paths()
        )
        if not left:
            return NothingMeant(
                f"nothing is selected by: {selection}",
                next_step=f"{before} has files, but none of them is left after: {words}.",
            )
        before = f"{words} ({left:,} files)"
    return NothingMeant(f"nothing is selected by: {selection}")
