"""What a tree ought to hold, by its own records, its manifest, or a selection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.catalog.load import dataset_info
from cxrsync.config.job import Job
from cxrsync.config.selection import Selection
from cxrsync.dataset.local_manifest import open_local
from cxrsync.dataset.resolve_selection import resolve_selection
from cxrsync.dataset.states import remembered
from cxrsync.dataset.tables import Tables, lookup_subjects
from cxrsync.dataset.target import Target
from cxrsync.dataset.version import destination
from cxrsync.manifest.file import ManifestFile
from cxrsync.manifest.key_ranges import key_ranges_for, needs_lookup
from cxrsync.model import MANIFEST_NAME, Entry, FileRecord, FileStat
from cxrsync.plan.survey import merge_join
from cxrsync.storage.tree import Tree


@dataclass(frozen=True, slots=True)
class Expectation:
    """Which files ought to be there, and in words. ``only_present``: nothing is known of what was
    asked for, so that only what is there can be judged."""

    manifest: ManifestFile
    is_wanted: Callable[[str], bool]
    words: str
    selections: tuple[Selection, ...]
    only_present: bool = False


@contextmanager
def expectation(tree: Tree, job: Job, version: str, *, everything: bool) -> Iterator[Expectation]:
    """What a tree ought to hold: what is asked for now, else what it was pulled with.

    Reads manifest and tables that are here already. Raises UsageError where they are not, or where
    nothing is meant; Damaged, BadTable.
    """
    asked = everything or not job.selection.whole
    selections = (job.selection,) if asked else remembered(tree)
    known = dataset_info(job.dataset)
    tables = Tables(Target(tree, known, version), destination(job))
    with closing(_open(tree, selections, known, tables)) as manifest:
        if not selections:
            nothing_said = (job.selection,)
            yield Expectation(manifest, lambda _: True, "what is there", nothing_said, True)
            return
        meant = resolve_selection(selections, known, manifest, tables)
        words = "; ".join(map(str, selections))
        yield Expectation(manifest, meant.is_wanted, words, selections)


def _open(
    tree: Tree, selections: tuple[Selection, ...], known: DatasetInfo, tables: Tables
) -> ManifestFile:
    """The manifest, or as much of it as these selections can mean."""
    lookups = [each for each in selections if needs_lookup(each)]
    keys = key_ranges_for(selections, known, {})
    if keys is None and lookups and tree.find(MANIFEST_NAME) is None:
        keys = key_ranges_for(selections, known, lookup_subjects(tables, lookups))
    return open_local(tree, keys)


def without_proof(
    tree: Tree, expected: Expectation
) -> Iterator[tuple[int, Entry, FileRecord | None, FileStat | OSError | None]]:
    """Every expected entry beside what is on the disk, whatever the state claims."""
    none: dict[str, Iterator[FileRecord]] = {
        name: iter(()) for name in expected.manifest.partitions
    }
    return merge_join(expected.manifest, expected.is_wanted, none, tree)
