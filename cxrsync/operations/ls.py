"""The files that a selection means: told, not fetched.

What is here already is asked first, so that a reader of a shared mirror needs neither network nor
write access; manifest and tables that are not here are fetched into the tree, for a pull to use.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass

from cxrsync.cancellation import CancelToken
from cxrsync.config.job import Job
from cxrsync.dataset.version import find_tree
from cxrsync.errors import NotHere
from cxrsync.events import EventSink, TreeNotice
from cxrsync.manifest.file import ManifestFile
from cxrsync.manifest.matcher import PathMatcher
from cxrsync.model import Entry
from cxrsync.operations.exit_status import in_our_words
from cxrsync.operations.expected import expectation
from cxrsync.operations.prepare import prepare
from cxrsync.operations.resolve import resolve
from cxrsync.sources.base import Source
from cxrsync.stats import RunStats
from cxrsync.storage.executors import run_in_thread
from cxrsync.storage.tree import Tree


@dataclass(frozen=True, slots=True)
class Listing:
    """The files that a job means in one version."""

    tree: Tree
    dataset: str
    version: str
    manifest: ManifestFile
    is_wanted: PathMatcher

    def entries(self) -> Iterator[Entry]:
        """Each of them, in the order of the manifest."""
        is_wanted = self.is_wanted
        return (entry for _offset, entry in self.manifest.entries() if is_wanted(entry.path))


@asynccontextmanager
async def listing(
    job: Job, source: Source, emit: EventSink, stop: CancelToken
) -> AsyncIterator[Listing]:
    """The files that the job means. Raises UsageError, and what ends a run.

    The source is asked only where something must be fetched.
    """
    with ExitStack() as stack:
        with in_our_words(stop):
            found = await run_in_thread(lambda: _from_what_is_here(job, emit, stack))
            if found is None:
                run = await prepare(job, source, emit, stop)
                resolved = await resolve(run, RunStats())
                manifest = stack.enter_context(closing(resolved.manifest))
                is_wanted = resolved.meant.is_wanted
                found = Listing(run.tree, job.dataset, run.version, manifest, is_wanted)
        yield found


def _from_what_is_here(job: Job, emit: EventSink, stack: ExitStack) -> Listing | None:
    """The listing from the tree alone; None where something is lacking. ``stack`` closes it."""
    try:
        tree, version, notice = find_tree(job)
        here = stack.enter_context(expectation(tree, job, version, everything=True))
    except NotHere:
        return None
    if notice:
        emit(TreeNotice(notice))
    return Listing(tree, job.dataset, version, here.manifest, here.is_wanted)
