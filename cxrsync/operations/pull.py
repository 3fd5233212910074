"""``pull``: prepare → prerequisites → resolve → sync → followers → report."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from time import time

from cxrsync.cancellation import CancelToken
from cxrsync.catalog.load import load
from cxrsync.clock import Clock, utc_now
from cxrsync.config.job import Job
from cxrsync.config.time_window import Window
from cxrsync.dataset.resolve_selection import ResolvedSelection
from cxrsync.dataset.run_context import RunContext
from cxrsync.errors import ExitCode, UsageError
from cxrsync.events import Event, EventSink, LimitReached, Notice, RunSummary
from cxrsync.model import ROOT, Kind
from cxrsync.operations.exit_status import explain, is_callers_cancellation
from cxrsync.operations.gunzip_tables import gunzip_tables
from cxrsync.operations.linked_reports import check_followers, follow
from cxrsync.operations.prepare import prepare
from cxrsync.operations.prerequisites import Prerequisites, fetch_prerequisites
from cxrsync.operations.resolve import resolve
from cxrsync.operations.run_log import active_runs, progress_file, run_times
from cxrsync.operations.run_summary import Report
from cxrsync.operations.share_tree import report_unshared, share_tree
from cxrsync.sources.base import Source
from cxrsync.stats import RunStats
from cxrsync.storage.trash import TRASH_FOLDER, Emptied, TrashDates, empty_trash
from cxrsync.sync.copying import copying
from cxrsync.sync.delete import delete_withdrawn
from cxrsync.sync.partition_sync import SyncOrder, sync_partitions
from cxrsync.threads import run_in_thread


@dataclass(frozen=True, slots=True)
class Scope:
    """Which of the selected files a run is for.

    ``distrust``: paths of files that were found wrong; their records do not count.
    ``root_kinds``: only the files of these kinds in the root. If all goes well, the tree has no log
    of such a run: it is the first part of another run.
    """

    distrust: frozenset[str] = frozenset()
    root_kinds: frozenset[Kind] | None = None


EVERYTHING = Scope()


async def pull(
    job: Job,
    source: Source,
    emit: EventSink,
    cancel: CancelToken | None = None,
    scope: Scope = EVERYTHING,
    now: Clock = time,
) -> RunSummary:
    """Fetch and verify the selected files that the tree does not have yet.

    Returns the summary. If the run ended early, its error is raised after the summary, with
    ``exit_code`` and ``error``, was emitted.
    """
    cancel = cancel or CancelToken()
    stats = RunStats()

    def record(event: Event) -> None:
        stats.record(event)
        emit(event)

    run: RunContext | None = None
    error: BaseException | None = None
    try:
        with cancel.watching(job.limits.max_duration):
            if _is_outside(job.limits.window, now, record):
                record(LimitReached())
            else:
                with cancel.ending(partial(seconds_left, job.limits.window, now)):
                    async with (
                        prepare(job, source, record, stats, cancel, now) as run,
                        progress_file(run),
                    ):
                        if scope.root_kinds is None:
                            await _pull(run, scope.distrust)
                        else:
                            await _pull_root(run, scope.root_kinds)
    except BaseException as problem:
        if is_callers_cancellation(problem, cancel):
            raise
        error = explain(problem, cancel)
    report = Report(stats, cancel, record, error)
    summary = report.finish(source.requests)
    is_part = scope.root_kinds is not None and summary.exit_code == ExitCode.COMPLETE
    target = run.target if run is not None and not is_part else None
    if run is not None and target is not None:
        summary = replace(summary, run=run.stamp)
    report.publish(summary, target, job.keep_runs)
    if report.error is not None:
        raise report.error
    return summary


def seconds_left(window: Window | None, now: Clock = time) -> float:
    """Return how many seconds a run may go on by its window."""
    return inf if window is None else window.seconds_left(utc_now(now))


def _is_outside(window: Window | None, now: Clock, emit: EventSink) -> bool:
    """Whether it is not yet, or no longer, the time to run; says so."""
    if window is None or seconds_left(window, now):
        return False
    emit(Notice(f"nothing is fetched now: it is not the time of --window {window}"))
    return True


async def _pull(run: RunContext, distrust: frozenset[str]) -> None:
    """Do everything between prepare and report. Raises: any CxrsyncError that ends the run."""
    siblings = await check_followers(run)
    await share_tree(run)
    prerequisites = await fetch_prerequisites(run)
    with closing(prerequisites.manifest):
        _remind_of_agreement(run)
        _tell_times(run)
        selected = await resolve(run, prerequisites)
        await _empty_trash(run)
        async with copying(run) as copies:
            order = _order(run, prerequisites, selected, distrust)
            await sync_partitions(run, replace(order, copying=copies))
        _refuse_nothing(run, selected)
        for sibling in siblings:
            if (follower := await follow(run, selected, sibling)) is not None:
                run.stats.reports_root = str(sibling.tree.root)
                await _pull_follower(follower)
        if run.job.gunzip_tables:
            await gunzip_tables(run, selected)
        if run.job.refresh.delete:
            await delete_withdrawn(run, selected)
    report_unshared(run)


def _remind_of_agreement(run: RunContext) -> None:
    """Say once per tree, in its first pull, what its user has agreed to."""
    target = run.target
    if target.dataset.slug in load() and not run_times(target.tree):  # others may be open to all
        page = target.dataset.page(target.version)
        run.emit(
            Notice(
                f"by the agreement of {target.name} ({page}) its files must not be shared; report "
                "anything that could identify a patient to PHI-report@physionet.org"
            )
        )


def _tell_times(run: RunContext) -> None:
    """Say which modification times the files get, if they are not PhysioNet's."""
    if run.job.origin.stores:
        run.emit(
            Notice(
                "files get the modification time of their copy in the store, unless PhysioNet's is "
                "known (from this tree, a folder of --from, or whoever copied them): `wget -N` may "
                "fetch them again"
            )
        )


async def _empty_trash(run: RunContext) -> None:
    """Delete what is in the trash for too long. It comes before the files of the run: they may need
    the space."""
    keep, tree = run.job.refresh.trash_keep, run.target.tree
    if keep is None or (run.job.partitions and ROOT not in run.job.partitions):
        return  # of the tasks of a job array one does it

    def empty() -> Emptied:
        in_use = {run.stamp, *(str(each["run"]) for each in active_runs(tree))}
        return empty_trash(tree, TrashDates(run.now(), run_times(tree)), keep, in_use)

    done = await run_in_thread(empty)
    trash = tree.own / TRASH_FOLDER
    if done.deleted:
        folders = _folders(done.deleted)
        run.emit(Notice(f"{folders} older than --trash-keep deleted from {trash}"))
    if done.redated:
        folders = _folders(done.redated)
        run.emit(Notice(f"{folders} in {trash} had a date to come: renamed to the present one"))
    for folder in done.left:
        run.emit(Notice(f"{folder} is older than --trash-keep, but cannot be deleted"))


def _folders(count: int) -> str:
    return "1 folder" if count == 1 else f"{count:,} folders"


async def _pull_root(run: RunContext, kinds: frozenset[Kind]) -> None:
    """Fetch the manifest, and of the selected files only those of ``kinds`` in the root."""
    await share_tree(run)
    prerequisites = await fetch_prerequisites(run)
    with closing(prerequisites.manifest):
        selected = (await resolve(run, prerequisites)).in_root(kinds)
        if selected.partitions:
            await sync_partitions(run, _order(run, prerequisites, selected, frozenset()))


async def _pull_follower(run: RunContext) -> None:
    prerequisites = await fetch_prerequisites(run)
    with closing(prerequisites.manifest):
        selected = await resolve(run, prerequisites)
        await sync_partitions(run, _order(run, prerequisites, selected, frozenset()))


def _order(
    run: RunContext,
    prerequisites: Prerequisites,
    selected: ResolvedSelection,
    distrust: frozenset[str],
) -> SyncOrder:
    """Everything that is selected, except the tables that the prerequisites have fetched."""
    fetched = prerequisites.fetched
    return SyncOrder(selected.without(fetched), run.job.selections, distrust - fetched)


def _refuse_nothing(run: RunContext, selected: ResolvedSelection) -> None:
    """Raise UsageError if nothing is selected. A partition without selected files is no error."""
    if not run.stats.selected and run.job.partitions:
        names = ", ".join(sorted(run.job.partitions))
        run.emit(Notice(f"nothing is selected in {names}"))
    elif not run.stats.selected:
        raise UsageError(
            f"nothing is selected by: {run.job.selection}",
            next_step=f"Remove a filter, or look at the names in {selected.manifest.path}.",
        )
