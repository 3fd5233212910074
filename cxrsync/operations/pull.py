"""``pull``: prepare, resolve, sync, report."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from dataclasses import replace

from cxrsync import humanize
from cxrsync.cancellation import CancelToken
from cxrsync.config.job import Job
from cxrsync.config.selection import Selection
from cxrsync.dataset.context import RunContext
from cxrsync.dataset.sibling import beside, other_run
from cxrsync.dataset.target import Target
from cxrsync.dataset.version import destination
from cxrsync.errors import (
    AccessDenied,
    CxrsyncError,
    ExitCode,
    Interrupted,
    InvalidResponse,
    NotFound,
    Throttled,
    Unbalanced,
    UsageError,
    code_of,
    unwrap,
)
from cxrsync.events import Event, EventSink, Finished, Notice, RunSummary
from cxrsync.manifest.path_ids import parse_image_path
from cxrsync.model import Kind, Result
from cxrsync.operations.exit_status import Ending, exit_status, explain, is_callers_wish
from cxrsync.operations.prepare import prepare
from cxrsync.operations.resolve import Resolved, resolve
from cxrsync.operations.run_log import keep_summary, write_progress
from cxrsync.sanitize import reason_of
from cxrsync.sources.base import Source
from cxrsync.stats import RunStats
from cxrsync.storage.executors import run_in_thread
from cxrsync.sync.partition_sync import sync_partitions


async def pull(
    job: Job,
    source: Source,
    emit: EventSink,
    stop: CancelToken | None = None,
    distrust: Iterable[str] = (),
) -> RunSummary:
    """Fetch what the job names and is not there yet, and verify it. Returns what was done.

    ``distrust``: paths of files that were found wrong, whatever the state says of them.

    What ends a run early is in the summary too: its ``exit_code`` and ``error``. The error itself
    is raised after the summary has been emitted.
    """
    stop = stop or CancelToken()
    stats = RunStats()

    def tell(event: Event) -> None:
        stats.record(event)
        emit(event)

    run: RunContext | None = None
    error: BaseException | None = None
    try:
        with stop.watching(job.limits.max_duration):
            run = await prepare(job, source, tell, stop)
            await pull_prepared(run, stats, tuple(distrust))
    except BaseException as problem:
        if is_callers_wish(problem, stop):
            raise
        error = explain(problem, stop)
    if stats.open_to_others:
        tell(Notice(_open_to_others(stats.open_to_others)))
    stats.limited = stats.limited or stop.code is ExitCode.LIMIT
    complete = error is None and stop.code is None and not stats.limited
    imbalance = stats.books.imbalance(complete=complete)
    if imbalance is not None:
        unbalanced = Unbalanced(str(imbalance))
        error = unbalanced if error is None else unwrap(error, unbalanced)
        if error is not unbalanced:
            tell(Notice(f"{unbalanced}. {unbalanced.next_step}"))
    code = exit_status(
        Ending(
            asked=stop.code,
            errors=() if error is None else (code_of(error),),
            failed=stats.files[Result.FAILED],
            contradicted=stats.files[Result.CONTRADICTED],
            refused_lines=stats.refused_lines,
            limited=stats.limited,
            balanced=imbalance is None,
        )
    )
    if isinstance(error, CxrsyncError):
        error.exit_code = code  # whoever catches it is told of all that happened
    summary = stats.summary(
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


async def pull_prepared(run: RunContext, stats: RunStats, distrust: tuple[str, ...]) -> None:
    """Everything between the version's choice and the summary. Raises what ends the run."""

    def snapshot() -> RunSummary:
        return stats.summary(requests=run.source.requests, exit_code=-1)

    reports = await _reports_beside(run) if run.job.with_reports else None
    resolved = await resolve(run, stats)
    try:
        async with asyncio.TaskGroup() as group:
            news = group.create_task(write_progress(run.tree, run.stamp, snapshot))
            await _bring_files(run, stats, resolved, distrust)
            if reports is not None:
                await bring_reports(run, stats, resolved, reports)
            news.cancel()
    finally:
        resolved.manifest.close()


async def _bring_files(
    run: RunContext, stats: RunStats, resolved: Resolved, distrust: tuple[str, ...]
) -> None:
    meant = resolved.meant
    if resolved.brought:  # counted already

        def rest(path: str) -> bool:
            return path not in resolved.brought and resolved.meant.is_wanted(path)

        meant = replace(meant, is_wanted=rest)
        distrust = tuple(set(distrust) - resolved.brought)  # they were hashed since
    await sync_partitions(
        run, stats, resolved.manifest, meant, remember=run.job.selections, distrust=distrust
    )
    if not stats.selected:
        raise UsageError(
            f"nothing is selected by: {run.job.selection}",
            next_step=f"Take a filter away, or look at the names in {resolved.manifest.path}.",
        )


# ── the reports of the selected studies, which are another dataset's ───────────────────────────


async def _reports_beside(run: RunContext) -> Target:
    """Where the reports belong; refuses before a single image is fetched what will be refused."""
    slug = run.dataset.reports_in
    home = beside(run.tree, destination(run.job), slug, run.version)
    other = other_run(run, home, run.job.selection)
    try:
        await other.probe()
    except NotFound:
        home.tree.abandon()
        raise UsageError(
            f"{run.source.identity} has no {slug} {run.version}, which holds the reports",
            next_step="Leave --with-reports out.",
        ) from None
    except AccessDenied as refused:
        home.tree.abandon()
        raise AccessDenied(
            f"the reports are in {slug}, under an agreement of its own: {refused}",
            next_step=f"Sign it at the foot of {home.dataset.agreement}, or leave "
            "--with-reports out.",
        ) from None
    except (Interrupted, InvalidResponse, Throttled):
        pass  # an accident: getting the manifest knows how to wait
    return home


async def bring_reports(run: RunContext, stats: RunStats, resolved: Resolved, home: Target) -> None:
    selection = await run_in_thread(lambda: _reports_of(run.job.selection, resolved))
    if selection is None:
        return
    run.emit(Notice(f"the reports are in {home.dataset.slug}: they come into {home.tree.root}"))
    other = other_run(run, home, selection)
    there = await resolve(other, stats)
    try:
        await _bring_files(other, stats, there, ())
    finally:
        there.manifest.close()


def _reports_of(selection: Selection, resolved: Resolved) -> Selection | None:
    """The reports of the studies that have a selected image, as a selection of their dataset; None
    where there is no image."""
    by_image = selection.images or selection.sample or selection.limit is not None
    if by_image or selection.include or selection.exclude:
        places = filter(
            None, map(parse_image_path, filter(resolved.meant.is_wanted, resolved.manifest.paths()))
        )
        studies = tuple(sorted({place.study for place in places if place.image}))
        if not studies:
            return None
        return Selection(only=(Kind.REPORTS,), studies=studies)
    return replace(selection, only=(Kind.REPORTS,), tables=False)
