"""Resolve a job: which files it selects, by manifest and tables that are here. Reads only."""

from __future__ import annotations

from cxrsync.dataset.context import RunContext
from cxrsync.dataset.resolve_selection import ResolvedSelection, resolve_selection
from cxrsync.operations.prerequisites import Prerequisites
from cxrsync.storage.executors import run_in_thread


async def resolve(run: RunContext, prerequisites: Prerequisites) -> ResolvedSelection:
    """The files that the job's selections mean in the run's target.

    Raises NothingMeant for what does not exist, or where nothing is left; UsageError, InvalidTable.
    """
    return await run_in_thread(
        lambda: resolve_selection(run.job.selections, prerequisites.manifest, prerequisites.tables)
    )
