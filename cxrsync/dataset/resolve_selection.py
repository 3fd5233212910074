"""Resolve a selection: decide by manifest and tables which files of a version it selects."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from cxrsync.catalog.dataset_info import METADATA, SPLIT, suggest
from cxrsync.config.selection import Selection
from cxrsync.dataset.metadata_tables import Tables
from cxrsync.dataset.target import Target
from cxrsync.dataset.unknown_names import (
    left_out,
    plain_includes,
    unknown_error,
    unknown_paths,
    where_it_is,
)
from cxrsync.errors import EmptySelection, UsageError
from cxrsync.manifest.file import ManifestFile
from cxrsync.manifest.filters import (
    ImageFilter,
    UnknownSplit,
    apply_limit,
    choose_images,
    choose_split,
    choose_studies,
    draw_sample,
    studies_of,
)
from cxrsync.manifest.key_ranges import ROOT_KEYS, KeyRange, is_in_key_ranges
from cxrsync.manifest.matcher import PathMatcher, any_matcher, is_accompanying_table, matcher_for
from cxrsync.manifest.path_ids import image_key, parse_image_path
from cxrsync.model import ROOT, Entry, Kind, partition_of

_SPLIT_NAME = re.compile(r"[A-Za-z][A-Za-z _-]{0,15}[0-9]?")
_MAX_NAMED = 8


@dataclass(frozen=True, slots=True)
class ResolvedSelection:
    """The selected files of a target: the entries of ``manifest`` that ``is_wanted`` accepts.

    ``partitions``: the partitions that these files are in. ``left_out``: what was asked for and is
    not there, one sentence for each sort. Whoever opened the manifest closes it.
    """

    target: Target
    manifest: ManifestFile
    is_wanted: PathMatcher
    partitions: frozenset[str]
    left_out: tuple[str, ...] = ()

    def entries(self) -> Iterator[Entry]:
        """Yield each selected entry, in the order of the manifest."""
        return (entry for _offset, entry in self.manifest.entries() if self.is_wanted(entry.path))

    def without(self, paths: frozenset[str]) -> ResolvedSelection:
        """Return the same selected files except those in ``paths``."""
        is_wanted = self.is_wanted
        if not paths:
            return self
        return replace(self, is_wanted=lambda path: path not in paths and is_wanted(path))

    def in_partitions(self, names: frozenset[str]) -> ResolvedSelection:
        """Return those of the selected files that are in these partitions; all if none is named."""
        is_wanted, is_in = self.is_wanted, self.target.dataset.is_in_partitions
        if not names:
            return self
        return replace(
            self,
            is_wanted=lambda path: is_in(partition_of(path), names) and is_wanted(path),
            partitions=frozenset(each for each in self.partitions if is_in(each, names)),
        )

    def in_root(self, kinds: frozenset[Kind]) -> ResolvedSelection:
        """Return those of the selected files that are in the root and of one of ``kinds``."""
        is_wanted, kind_of = self.is_wanted, self.target.dataset.kind_of
        return replace(
            self,
            is_wanted=lambda path: (
                partition_of(path) == ROOT and kind_of(path) in kinds and is_wanted(path)
            ),
            partitions=self.partitions & {ROOT},
        )


def one_file(target: Target, manifest: ManifestFile, entry: Entry) -> ResolvedSelection:
    """Return the resolved selection of one entry."""
    partitions = frozenset({partition_of(entry.path)})
    return ResolvedSelection(target, manifest, lambda path: path == entry.path, partitions)


def resolve_selection(
    selections: Sequence[Selection], manifest: ManifestFile, tables: Tables
) -> ResolvedSelection:
    """Resolve the union of the selections in the target of the tables.

    Reads manifest and tables: call it in a thread.

    Raises: EmptySelection if an id or shard does not exist, or if a filter leaves no file (the
    error names the filter); UsageError, InvalidTable.
    """
    target = tables.target
    matchers = []
    without: list[str] = []
    for selection in selections:
        without += check_ids(selection, manifest, tables)
        chosen = apply_filters(selection, manifest, tables)
        matchers.append(matcher_for(selection, target.dataset, chosen))
    is_wanted = any_matcher(matchers)
    if all(_selects_whole_shards(selection) for selection in selections):
        names = {name for each in selections for name in _partitions_of(each, manifest.partitions)}
        return ResolvedSelection(target, manifest, is_wanted, frozenset(names), tuple(without))
    names = {partition_of(path) for path in manifest.paths() if is_wanted(path)}
    if not names - ({ROOT} if all(each.brings_tables for each in selections) else set()):
        raise _nothing_selected_error(selections[0], manifest, tables)
    return ResolvedSelection(target, manifest, is_wanted, frozenset(names), tuple(without))


def _selects_whole_shards(selection: Selection) -> bool:
    return selection.whole or selection == Selection(
        shards=selection.shards, tables=selection.tables, skip_unknown=selection.skip_unknown
    )


def _partitions_of(selection: Selection, existing: frozenset[str]) -> set[str]:
    if selection.whole:
        return set(existing)
    return {*selection.shards, *([ROOT] if selection.brings_tables else [])} & existing


def check_ids(selection: Selection, manifest: ManifestFile, tables: Tables) -> list[str]:
    """Raise EmptySelection for shards, ids and paths that the manifest does not have.

    Returns a sentence for each sort of names of which the selection leaves out some.
    """
    unknown = [shard for shard in selection.shards if shard not in manifest.partitions]
    if unknown:
        shards = sorted(manifest.partitions - {ROOT})
        raise EmptySelection(
            f"the manifest has no shard {', '.join(unknown)}",
            next_step=f"It has {suggest(unknown[0], shards) or 'no shards at all'}.",
        )
    selected = {
        "subject": selection.subjects,
        "study": selection.studies,
        "image": selection.images,
        "path": selection.paths,
    }
    not_found = _not_found(selected, manifest) if any(selected.values()) else {}
    sentences = []
    for sort, names in not_found.items():
        total = len(selected[sort])
        if len(names) == total or not selection.skip_unknown:
            raise unknown_error(sort, names, total, tables.target)
        sentences.append(left_out(sort, names, total, tables.target))
    plain = plain_includes(selection)
    if plain and (absent := unknown_paths(plain, manifest.paths())):
        sentences.append(left_out("path", absent, len(plain), tables.target))
    return sentences


def _not_found(
    selected: Mapping[str, Sequence[str]], manifest: ManifestFile
) -> dict[str, list[str]]:
    """Return the selected names that the manifest does not have, by their sort."""
    left = {sort: set(names) for sort, names in selected.items()}
    if any(selected[sort] for sort in ("subject", "study", "image")):
        for path in manifest.paths():
            parsed = parse_image_path(path)
            if parsed is not None:
                left["subject"].discard(parsed.subject)
                left["study"].discard(parsed.study)
                left["image"].discard(parsed.image)
    if left["path"]:
        left["path"] = set(unknown_paths(left["path"], manifest.paths()))
    return {sort: sorted(names) for sort, names in left.items() if names}


def apply_filters(selection: Selection, manifest: ManifestFile, tables: Tables) -> ImageFilter:
    """Return the images and studies that the tables, the sample and the limit of a selection leave.

    Raises: UsageError, InvalidTable.
    """
    dataset = tables.target.dataset
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


def fills_limit(
    selection: Selection, within: KeyRange, manifest: ManifestFile, tables: Tables
) -> bool:
    """Return whether all files that the selection's limit takes are ``within`` these keys, which
    the manifest has. Raises: UsageError, InvalidTable, NotFetchedYet."""
    is_wanted = matcher_for(
        selection, tables.target.dataset, _by_tables(selection, manifest, tables)
    )
    taken = (
        path
        for path in manifest.paths()
        if is_wanted(path)
        and not is_accompanying_table(path, selection)
        and is_in_key_ranges((within, ROOT_KEYS[0]), path)
    )
    assert selection.limit is not None
    return next(islice(taken, selection.limit - 1, None), None) is not None


def _by_tables(selection: Selection, manifest: ManifestFile, tables: Tables) -> ImageFilter:
    images = frozenset(map(image_key, selection.images)) if selection.images else None
    for role, column, values in (
        (SPLIT, "split", selection.splits),
        (METADATA, "ViewPosition", selection.views),
    ):
        if values and tables.is_given(selection, role):
            images = _by_split_table(selection, tables, images)
        elif values:
            with tables.rows(selection, role, ("dicom_id", column)) as rows:
                images = choose_images(rows, frozenset(values), images)
    chosen = ImageFilter()
    if images is not None:
        has_reports = any(kind is Kind.REPORTS for kind, _pattern in tables.target.dataset.patterns)
        # A table may list images that this version does not have: their reports are not selected.
        studies = studies_of(manifest.paths(), images) if has_reports else frozenset()
        chosen = ImageFilter(images, studies)
    if selection.labels:
        names = ("study_id", *(label.name for label in selection.labels))
        with tables.rows(selection, selection.labeler, names) as rows:
            chosen = replace(chosen, studies=choose_studies(rows, selection.labels))
    return chosen


def _by_split_table(
    selection: Selection, tables: Tables, among: frozenset[bytes] | None
) -> frozenset[bytes]:
    """Return the images of the selected splits by the user's own table."""
    try:
        with tables.own_splits(selection) as rows:
            return choose_split(rows, selection.splits, among)
    except UnknownSplit as problem:
        # A message shows no value of a table, unless it is surely the name of a split.
        names = [name for name in problem.names if _SPLIT_NAME.fullmatch(name)]
        has = f"Its splits: {', '.join(names[:_MAX_NAMED])}." if names else ""
        raise UsageError(
            f"{selection.split_table} has no split {' or '.join(map(repr, problem.words))}",
            next_step=has or "Its column split does not hold the names of a few splits.",
        ) from None


def _nothing_selected_error(
    selection: Selection, manifest: ManifestFile, tables: Tables
) -> EmptySelection:
    """Return the error for a selection without files; it names the filter that left none."""
    before = "the version"
    for description, so_far in selection.steps():
        chosen = apply_filters(so_far, manifest, tables)
        is_wanted = matcher_for(so_far, tables.target.dataset, chosen)
        left = sum(
            is_wanted(path) and not is_accompanying_table(path, so_far) for path in manifest.paths()
        )
        if not left:
            step = f"{before} has files, but none of them is left after: {description}."
            hints = (where_it_is(each, tables.target) for each in plain_includes(so_far))
            return EmptySelection(
                f"nothing is selected by: {selection}",
                next_step="\n".join([step, *islice(filter(None, hints), 1)]),
            )
        before = f"{description} ({left:,} files)"
    return EmptySelection(
        f"nothing is selected by: {selection}",
        next_step="Leave out one option after the other: `cxrsync ls` shows what is left.",
    )
