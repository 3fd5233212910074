"""Decide which files a tree should hold: those of the job's selection, else those pulled before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace

from cxrsync.config.job import Job
from cxrsync.config.selection import Selection
from cxrsync.dataset.copies import copy_finder
from cxrsync.dataset.local_manifest import open_local
from cxrsync.dataset.metadata_tables import Tables, lookup_subjects
from cxrsync.dataset.partition_states import pulled_selections, records_of_copies
from cxrsync.dataset.resolve_selection import (
    ResolvedSelection,
    fills_limit,
    resolve_selection,
)
from cxrsync.dataset.target import Target
from cxrsync.dataset.version import destination
from cxrsync.errors import NotFetchedYet
from cxrsync.manifest.file import ManifestFile
from cxrsync.manifest.key_ranges import (
    KeyRange,
    first_ranges,
    key_ranges_for,
    needs_lookup,
    with_root,
)
from cxrsync.model import MANIFEST_NAME
from cxrsync.plan.survey import Surveyed, survey


@dataclass(frozen=True, slots=True)
class Expectation:
    """The files that a tree should hold.

    ``description``: of the selections, for people. ``only_present``: it is not recorded what was
    pulled, so only the files that are there can be checked. ``partitions``: those that the job is
    about; empty for all.
    """

    selected: ResolvedSelection
    description: str
    selections: tuple[Selection, ...]
    only_present: bool = False
    partitions: frozenset[str] = frozenset()

    @property
    def target(self) -> Target:
        """The target to check."""
        return self.selected.target

    @property
    def manifest(self) -> ManifestFile:
        """The manifest, or the slices that the selections need."""
        return self.selected.manifest

    def without_records(self) -> Iterator[Surveyed]:
        """Yield every expected entry with its file on the disk, without any records of states but
        those of files that smaller copies have replaced."""
        tree = self.target.tree
        copies = {name: records_of_copies(tree, name) for name in self.manifest.partitions}
        is_wanted, has_copy = self.selected.is_wanted, copy_finder(self.target)
        return survey(self.manifest, is_wanted, copies, tree, has_copy)


@contextmanager
def expectation(
    target: Target, job: Job, *, everything: bool, selections: Sequence[Selection] = ()
) -> Iterator[Expectation]:
    """Yield the files that a tree should hold, by local manifest and tables.

    ``everything``: use the job's selection even if it is the whole version, and not the selections
    that were pulled. ``selections``: use these instead of either.

    Raises: NotFetchedYet if manifest or table have not been downloaded, UsageError if nothing is
    selected; ManifestDamaged, InvalidTable.
    """
    is_explicit = everything or not job.selection.whole or bool(selections)
    if not selections:
        selections = (job.selection,) if is_explicit else pulled_selections(target.tree)
    tables = Tables(target, destination(job))
    with closing(_open_manifest(selections, tables)) as manifest:
        if not selections:
            present = ResolvedSelection(target, manifest, lambda _: True, manifest.partitions)
            present = present.in_partitions(job.partitions)
            yield Expectation(present, "what is there", (job.selection,), True, job.partitions)
            return
        selected = resolve_selection(selections, manifest, tables).in_partitions(job.partitions)
        if not is_explicit:  # the pull said what it left out
            selected = replace(selected, left_out=())
        yield Expectation(
            selected, "; ".join(map(str, selections)), tuple(selections), partitions=job.partitions
        )


def _open_manifest(selections: Sequence[Selection], tables: Tables) -> ManifestFile:
    """Open the manifest, or the slices that these selections need."""
    tree, dataset = tables.target.tree, tables.target.dataset
    lookups = [each for each in selections if needs_lookup(each)]
    if tree.find(MANIFEST_NAME) is not None:
        return open_local(tree)
    firsts = {each: found for each in selections if (found := _first_range(each, tables))}
    keys = key_ranges_for(selections, dataset, {}, firsts)
    if keys is None and lookups:
        keys = key_ranges_for(selections, dataset, lookup_subjects(tables, lookups), firsts)
    return open_local(tree, keys)


def _first_range(selection: Selection, tables: Tables) -> KeyRange | None:
    """Return the range of the manifest that a pull has fetched for a selection with ``--limit``;
    None if it needed more."""
    for within in first_ranges(selection, tables.target.dataset):
        with (
            suppress(NotFetchedYet),
            closing(open_local(tables.target.tree, with_root(within))) as part,
        ):
            if fills_limit(selection, within, part, tables):
                return within
    return None
