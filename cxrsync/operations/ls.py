"""``ls``: list the files that a selection selects, without fetching them.

Local manifest and tables are used if they are there, so that a reader of a shared mirror needs
neither network nor write access. A missing manifest or table is fetched into the tree.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing

from cxrsync.cancellation import CancelToken
from cxrsync.config.job import Job
from cxrsync.dataset.resolve_selection import ResolvedSelection
from cxrsync.dataset.version import find_target
from cxrsync.errors import NotFetchedYet
from cxrsync.events import Event, EventSink, LeftOut
from cxrsync.operations.exit_status import explained_errors
from cxrsync.operations.expected_files import expectation
from cxrsync.operations.prepare import prepare
from cxrsync.operations.prerequisites import fetch_prerequisites
from cxrsync.operations.resolve import resolve
from cxrsync.sources.base import Source
from cxrsync.stats import RunStats
from cxrsync.threads import run_in_thread


@asynccontextmanager
async def list_files(
    job: Job, source: Source, emit: EventSink, cancel: CancelToken
) -> AsyncIterator[ResolvedSelection]:
    """Yield the files that the job selects. The source is asked only if a file must be fetched.

    Raises: UsageError, and any CxrsyncError that ends a run.
    """
    with ExitStack() as stack:
        with explained_errors(cancel):
            notices: list[Event] = []
            selected = await run_in_thread(lambda: _resolve_offline(job, notices, stack))
            if selected is not None:
                for notice in notices:
                    emit(notice)
            else:
                async with prepare(job, source, emit, RunStats(), cancel) as run:
                    prerequisites = await fetch_prerequisites(run)
                    stack.enter_context(closing(prerequisites.manifest))
                    selected = await resolve(run, prerequisites)
        yield selected


def _resolve_offline(job: Job, notices: list[Event], stack: ExitStack) -> ResolvedSelection | None:
    """Resolve the selection by local files; None if manifest or table are missing. ``stack`` closes
    the manifest."""
    try:
        target = find_target(job, notices.append)
        expected = stack.enter_context(expectation(target, job, everything=True))
    except NotFetchedYet:
        return None
    notices.extend(map(LeftOut, expected.selected.left_out))
    return expected.selected
