"""A pull from its beginning to its end: version and tree, the journey, the summary."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable

from cxrsync.engine.ending import exit_code_of, explain
from cxrsync.engine.journey import travel
from cxrsync.engine.records import keep_summary
from cxrsync.engine.run import Run
from cxrsync.engine.start import set_out
from cxrsync.engine.stop import Stop
from cxrsync.engine.tally import Tally
from cxrsync.job import Job
from cxrsync.model import Emit, Event, Finished, Summary
from cxrsync.source.base import Source


async def pull(
    job: Job,
    source: Source,
    emit: Emit,
    stop: Stop | None = None,
    distrust: Iterable[str] = (),
) -> Summary:
    """Fetch what the job names and is not there yet, and verify it. Returns what was done.

    ``distrust``: paths of files that were found wrong, whatever the state says of them.

    What ends a run early is in the summary too: its ``exit_code`` and ``error``. The error itself
    is raised after the summary has been emitted.
    """
    stop = stop or Stop()
    tally = Tally()

    def tell(event: Event) -> None:
        tally.listen(event)
        emit(event)

    run: Run | None = None
    error: BaseException | None = None
    try:
        with stop.watching(job.limits.max_duration):
            run = await set_out(job, source, tell, stop)
            await travel(run, tally, tuple(distrust))
    except BaseException as problem:
        if stop.code is None and isinstance(problem, asyncio.CancelledError):
            raise  # the caller's wish, not ours
        error = explain(problem, stop)
    code = exit_code_of(error, stop, tally)
    summary = tally.summary(
        requests=source.requests, exit_code=code, error=str(error) if error else ""
    )
    if run is not None and os.path.isdir(run.tree.own):
        keep_summary(run.tree, run.stamp, summary)
    tell(Finished(summary))
    if error is not None:
        raise error
    return summary
