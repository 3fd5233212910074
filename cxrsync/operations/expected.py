"""What a tree ought to hold: what is asked for now, else what it was pulled with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from cxrsync.config.job import Job
from cxrsync.config.selection import Selection
from cxrsync.dataset.local_manifest import open_local
from cxrsync.dataset.resolve_selection import ResolvedSelection, resolve_selection
from cxrsync.dataset.states import pulled_selections
from cxrsync.dataset.tables import Tables, lookup_subjects
from cxrsync.dataset.target import Target
from cxrsync.dataset.version import destination
from cxrsync.manifest.file import ManifestFile
from cxrsync.manifest.key_ranges import key_ranges_for, needs_lookup
from cxrsync.model import MANIFEST_NAME, FileRecord
from cxrsync.plan.survey import Surveyed, survey


@dataclass(frozen=True, slots=True)
class Expectation:
    """Which files ought to be there, and in words.

    ``only_present``: nobody knows what was pulled, so that only what is there can be judged.
    """

    selected: ResolvedSelection
    words: str
    selections: tuple[Selection, ...]
    only_present: bool = False

    @property
    def target(self) -> Target:
        """The tree that is judged."""
        return self.selected.target

    @property
    def manifest(self) -> ManifestFile:
        """The manifest, or as much of it as the selections need."""
        return self.selected.manifest

    def without_records(self) -> Iterator[Surveyed]:
        """Every expected entry beside what is on the disk, whatever the states claim."""
        none: dict[str, Iterator[FileRecord]] = {
            name: iter(()) for name in self.manifest.partitions
        }
        return survey(self.manifest, self.selected.is_wanted, none, self.target.tree)


@contextmanager
def expectation(target: Target, job: Job, *, everything: bool) -> Iterator[Expectation]:
    """What a tree ought to hold. Reads manifest and tables that are here already.

    ``everything``: what the job selects, be that the whole version, not what was pulled.

    Raises NotHere where manifest or table are not here, UsageError where nothing is selected;
    Damaged, InvalidTable.
    """
    is_asked = everything or not job.selection.whole
    selections = (job.selection,) if is_asked else pulled_selections(target.tree)
    tables = Tables(target, destination(job))
    with closing(_open_manifest(selections, tables)) as manifest:
        if not selections:
            present = ResolvedSelection(target, manifest, lambda _: True, manifest.partitions)
            yield Expectation(present, "what is there", (job.selection,), only_present=True)
            return
        selected = resolve_selection(selections, manifest, tables)
        yield Expectation(selected, "; ".join(map(str, selections)), selections)


def _open_manifest(selections: Sequence[Selection], tables: Tables) -> ManifestFile:
    """The manifest, or as much of it as these selections need."""
    tree, dataset = tables.target.tree, tables.target.dataset
    lookups = [each for each in selections if needs_lookup(each)]
    keys = key_ranges_for(selections, dataset, {})
    if keys is None and lookups and tree.find(MANIFEST_NAME) is None:
        keys = key_ranges_for(selections, dataset, lookup_subjects(tables, lookups))
    return open_local(tree, keys)
