"""Resolve a job: decide which files it selects, by local manifest and tables. Reads only."""

from __future__ import annotations

from cxrsync.dataset.resolve_selection import ResolvedSelection, resolve_selection
from cxrsync.dataset.run_context import RunContext
from cxrsync.events import LeftOut
from cxrsync.operations.prerequisites import Prerequisites
from cxrsync.progress_events import Activity, Phase
from cxrsync.threads import run_in_thread


async def resolve(run: RunContext, prerequisites: Prerequisites) -> ResolvedSelection:
    """Return the files that the job's selections select in the run's target, in its partitions.

    Emits what the selection leaves out because it is not there.

    Raises: EmptySelection if an id does not exist or if no file is left; UsageError, InvalidTable.
    """
    run.emit(Phase(Activity.SELECTING))
    selected = await run_in_thread(
        lambda: resolve_selection(run.job.selections, prerequisites.manifest, prerequisites.tables)
    )
    for text in selected.left_out:
        run.emit(LeftOut(text))
    return selected.in_partitions(run.job.partitions)
