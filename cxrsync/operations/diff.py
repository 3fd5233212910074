"""Compare two versions by their manifests: changed files, and an estimate of bytes to download."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cxrsync.cancellation import CancelToken
from cxrsync.config.job import Job
from cxrsync.config.selection import Selection
from cxrsync.dataset.nested_trees import SIBLINGS_FOLDER
from cxrsync.dataset.partition_states import partition_names
from cxrsync.dataset.resolve_selection import ResolvedSelection
from cxrsync.dataset.tree_identity import identity_of
from cxrsync.dataset.version import destination
from cxrsync.errors import EmptySelection
from cxrsync.events import EventSink
from cxrsync.manifest.diff import Change, Difference, differences
from cxrsync.operations.ls import list_files
from cxrsync.plan.estimate import Estimate, Inventory, estimate
from cxrsync.sources.base import Source
from cxrsync.storage.state_db import State
from cxrsync.storage.tree import Tree


@dataclass(frozen=True, slots=True)
class DiffTotals:
    """The differences between two versions, counted.

    ``to_download``: the number of files whose digest the old version does not have under any path.
    ``estimate``: of their bytes.
    """

    changes: Counter[Change]
    to_download: int
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Comparison:
    """The selected files of two versions."""

    old: ResolvedSelection
    new: ResolvedSelection

    def differences(self) -> Iterator[Difference]:
        """Yield each path with a difference, in order."""
        return differences(self.old.entries(), self.new.entries())

    def totals(self) -> DiffTotals:
        """Count the differences, and estimate the bytes that a pull of the new one downloads."""
        dataset = self.new.target.dataset
        kind_of = dataset.kind_of
        changes = Counter(each.change for each in self.differences())
        new_digests = {
            bytes.fromhex(each.entry.sha256)
            for each in self.differences()
            if each.change is not Change.REMOVED
        }
        for _offset, entry in self.old.manifest.entries():
            new_digests.discard(bytes.fromhex(entry.sha256))
        inventory = Inventory(kind_of)
        for side in (self.old, self.new):
            _learn_sizes(inventory, side.target.tree)
        to_download = 0
        for each in self.differences():
            if each.change is Change.REMOVED:
                continue
            digest = bytes.fromhex(each.entry.sha256)
            if digest in new_digests:
                new_digests.discard(digest)  # another path with the same digest will be a copy
                to_download += 1
                inventory.add_missing(each.entry.path, kind_of(each.entry.path), None)
        estimated = estimate(inventory, dataset.means)
        return DiffTotals(changes, to_download, estimated)


@asynccontextmanager
async def compare(
    job: Job, versions: tuple[str, str], source: Source, emit: EventSink, cancel: CancelToken
) -> AsyncIterator[Comparison]:
    """Open two versions of the job's dataset for comparison.

    Raises: UsageError, EmptySelection if neither version has a selected file, and any CxrsyncError
    that ends a run.
    """
    old, new = (replace(job, version=each, dest=_destination_for(job, each)) for each in versions)
    async with AsyncExitStack() as stack:

        async def read(job: Job) -> ResolvedSelection:
            return await stack.enter_async_context(list_files(job, source, emit, cancel))

        is_one_empty = False
        sides = []
        for each in (old, new):
            try:
                sides.append(await read(each))
            except EmptySelection:  # then all files of the other version were added, or removed
                if is_one_empty:
                    raise
                is_one_empty = True
                whole = await read(replace(each, selection=Selection()))
                sides.append(replace(whole, is_wanted=lambda _path: False))
        yield Comparison(*sides)


def _destination_for(job: Job, version: str) -> Path:
    """Return the destination for a version's manifest.

    If the job's destination is the root of another version, it is a folder inside ``.cxrsync``.
    """
    own = destination(job).version_root()
    if own is None or identity_of(own.root, job.dataset) == (job.dataset, version):
        return job.dest
    return Tree(own.root).own / SIBLINGS_FOLDER


def _learn_sizes(inventory: Inventory, tree: Tree) -> None:
    """Count the verified files of a tree as present: their sizes improve the estimate."""
    for name in partition_names(tree):
        state = State.read(tree.partition(name))
        if state is not None:
            with state:
                for row in state.records():
                    inventory.add_present(row.path, row.size)
