"""What changed between two versions, and what would move: by their manifests alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cxrsync.cancellation import CancelToken
from cxrsync.config.job import Job
from cxrsync.config.selection import Selection
from cxrsync.dataset.resolve_selection import ResolvedSelection
from cxrsync.dataset.states import partition_names
from cxrsync.dataset.tree_identity import identity_of
from cxrsync.dataset.tree_parts import SIBLINGS_FOLDER
from cxrsync.dataset.version import destination
from cxrsync.errors import NothingMeant
from cxrsync.events import EventSink
from cxrsync.manifest.diff import Change, Difference, differences
from cxrsync.operations.ls import list_files
from cxrsync.plan.estimate import Estimate, Inventory, estimate
from cxrsync.sources.base import Source
from cxrsync.storage.state_db import State
from cxrsync.storage.tree import Tree


@dataclass(frozen=True, slots=True)
class DiffTotals:
    """How much two versions differ. ``moving`` files have bytes that the earlier version does not
    hold under any path; what they come to is an estimate."""

    changes: Counter[Change]
    moving: int
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions side by side, as far as a selection means them."""

    old: ResolvedSelection
    new: ResolvedSelection

    def differences(self) -> Iterator[Difference]:
        """Each path that they differ in, in order."""
        return differences(self.old.entries(), self.new.entries())

    def totals(self) -> DiffTotals:
        """How much they differ, and what would move."""
        dataset = self.new.target.dataset
        kind_of = dataset.kind_of
        changes = Counter(each.change for each in self.differences())
        fresh = {
            bytes.fromhex(each.entry.sha256)
            for each in self.differences()
            if each.change is not Change.REMOVED
        }
        for _offset, entry in self.old.manifest.entries():
            fresh.discard(bytes.fromhex(entry.sha256))
        inventory = Inventory(kind_of)
        for side in (self.old, self.new):
            _learn_sizes(inventory, side.target.tree)
        moving = 0
        for each in self.differences():
            if each.change is Change.REMOVED:
                continue
            digest = bytes.fromhex(each.entry.sha256)
            if digest in fresh:
                fresh.discard(digest)  # a second path with it is copied
                moving += 1
                inventory.add_missing(each.entry.path, kind_of(each.entry.path), None)
        guess = estimate(inventory, dataset.means)
        return DiffTotals(changes, moving, guess)


@asynccontextmanager
async def compare(
    job: Job, versions: tuple[str, str], source: Source, emit: EventSink, cancel: CancelToken
) -> AsyncIterator[Comparison]:
    """Two versions of the job's dataset. Raises UsageError, NothingMeant where neither version has
    anything of the selection, and what ends a run."""
    old, new = (replace(job, version=each, dest=_place(job, each)) for each in versions)
    async with AsyncExitStack() as stack:

        async def read(job: Job) -> ResolvedSelection:
            return await stack.enter_async_context(list_files(job, source, emit, cancel))

        empty = False
        sides = []
        for each in (old, new):
            try:
                sides.append(await read(each))
            except NothingMeant:  # all that the other has was added, or removed
                if empty:
                    raise
                empty = True
                whole = await read(replace(each, selection=Selection()))
                sides.append(replace(whole, is_wanted=lambda _path: False))
        yield Comparison(*sides)


def _place(job: Job, version: str) -> Path:
    """Where a version's manifest belongs: beside, where the destination is another's own folder."""
    own = destination(job).version_root()
    if own is None or identity_of(own.root, job.dataset) == (job.dataset, version):
        return job.dest
    return Tree(own.root).own / SIBLINGS_FOLDER


def _learn_sizes(inventory: Inventory, tree: Tree) -> None:
    """What is known of the sizes of files that were fetched before."""
    for name in partition_names(tree):
        state = State.read(tree.partition(name))
        if state is not None:
            with state:
                for row in state.records():
                    inventory.add_present(row.path, row.size)
