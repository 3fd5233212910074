"""A pull from its beginning to its end: version and tree, the journey, the summary."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime

from cxrsync.catalog import describe
from cxrsync.engine.journey import travel
from cxrsync.engine.records import keep_summary
from cxrsync.engine.run import Run
from cxrsync.engine.stop import Stop
from cxrsync.engine.tally import Tally
from cxrsync.engine.version import choose_version, claim
from cxrsync.errors import (
    CxrsyncError,
    DiskError,
    ExitCode,
    Stopped,
)
from cxrsync.job import Job
from cxrsync.model import Emit, Event, Finished, Started, Summary
from cxrsync.source.base import Source
from cxrsync.store.layout import Tree, version_root


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
            run = await _set_out(job, source, tell, stop)
            await travel(run, tally, tuple(distrust))
    except BaseException as problem:
        if stop.code is None and isinstance(problem, asyncio.CancelledError):
            raise  # the caller's wish, not ours
        error = explain(problem, stop)
    code = exit_code_of(error, stop, tally)
    summary = tally.summary(
        requests=source.requests, exit_code=code, error=str(error) if error else ""
    )
    if run is not None and run.tree.own.is_dir():
        keep_summary(run.tree, run.stamp, summary)
    tell(Finished(summary))
    if error is not None:
        raise error
    return summary


def exit_code_of(error: BaseException | None, stop: Stop, tally: Tally) -> ExitCode:
    """The exit code of a run that was ended by ``error``, by a limit, or came to its end."""
    if isinstance(error, CxrsyncError):
        return error.exit_code
    if error is not None:
        return ExitCode.UNEXPECTED
    return stop.code or tally.exit_code()


def explain(problem: BaseException, stop: Stop) -> BaseException | None:
    """What ended a run, in our own words: a CxrsyncError, None for a limit that was reached, or
    the problem itself where we have no words for it."""
    if isinstance(problem, BaseExceptionGroup):
        # What a run's tasks raised together: the first of it that we know.
        inner = [explain(each, stop) for each in problem.exceptions]
        ours = [each for each in inner if isinstance(each, CxrsyncError)]
        return ours[0] if ours else problem
    if isinstance(problem, asyncio.CancelledError):
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()  # it was our own: what the caller does next is not cancelled
        if stop.code is ExitCode.LIMIT:
            return None
        stopped = Stopped("stopped as asked; the state is saved")
        stopped.exit_code = stop.code or ExitCode.INTERRUPTED
        return stopped
    return disk_trouble(problem) if isinstance(problem, OSError) else problem


def disk_trouble(problem: OSError) -> DiskError:
    """An error of the disk that nobody nearer to it has made sense of, naming the place."""
    where = f" {problem.filename}" if problem.filename else ""
    return DiskError(f"cannot go on{where}: {problem.strerror or problem}")


async def _set_out(job: Job, source: Source, emit: Emit, stop: Stop) -> Run:
    """Decide on the version and the tree; prove that it can be written before anything is asked."""
    version = await choose_version(job, source, emit)
    tree = Tree(version_root(job.dest, job.dataset, version).absolute())
    claim(tree, job.dataset, version)
    emit(Started(job.dataset, version, str(tree.root), str(job.selection), job.limits.connections))
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return Run(job, source, emit, stop, tree, describe(job.dataset), version, stamp)
