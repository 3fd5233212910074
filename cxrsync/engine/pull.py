"""A pull from its beginning to its end: version and tree, the journey, the summary."""

from __future__ import annotations

import os
from collections.abc import Iterable

from cxrsync import humanize
from cxrsync.cancellation import Stop
from cxrsync.config.job import Job
from cxrsync.dataset.context import Run
from cxrsync.engine.ending import explain, is_callers_wish
from cxrsync.engine.exit_status import Ending, exit_status
from cxrsync.engine.journey import travel
from cxrsync.engine.records import keep_summary
from cxrsync.engine.start import set_out
from cxrsync.errors import CxrsyncError, ExitCode, Unbalanced, code_of, unwrap
from cxrsync.events import Emit, Event, Finished, Notice, Summary
from cxrsync.model import Result
from cxrsync.sanitize import reason_of
from cxrsync.sources.base import Source
from cxrsync.stats import Tally


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
        if is_callers_wish(problem, stop):
            raise
        error = explain(problem, stop)
    if tally.open_to_others:
        tell(Notice(_open_to_others(tally.open_to_others)))
    tally.limited = tally.limited or stop.code is ExitCode.LIMIT
    complete = error is None and stop.code is None and not tally.limited
    imbalance = tally.books.imbalance(complete=complete)
    if imbalance is not None:
        unbalanced = Unbalanced(str(imbalance))
        error = unbalanced if error is None else unwrap(error, unbalanced)
        if error is not unbalanced:
            tell(Notice(f"{unbalanced}. {unbalanced.next_step}"))
    code = exit_status(
        Ending(
            asked=stop.code,
            errors=() if error is None else (code_of(error),),
            failed=tally.files[Result.FAILED],
            contradicted=tally.files[Result.CONTRADICTED],
            refused_lines=tally.refused_lines,
            limited=tally.limited,
            balanced=imbalance is None,
        )
    )
    if isinstance(error, CxrsyncError):
        error.exit_code = code  # whoever catches it is told of all that happened
    summary = tally.summary(
        requests=source.requests, exit_code=code, error=reason_of(error) if error else ""
    )
    if run is not None and os.path.isdir(run.tree.own):
        keep_summary(run.tree, run.stamp, summary)
    tell(Finished(summary))
    if error is not None:
        raise error
    return summary


def _open_to_others(count: int) -> str:
    return (
        f"{humanize.files(count)} that others can read were adopted as they are: they belong to "
        "another user, or have another name elsewhere, so that their mode is not ours to change. "
        "The data use agreement wants them closed: chmod o-rwx, by whoever may"
    )
