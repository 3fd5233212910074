"""A pull from its beginning to its end: version, manifest, partitions, summary."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime

from cxrsync.catalog import describe, nearest
from cxrsync.engine.leg import travel_leg
from cxrsync.engine.manifest import ManifestFile, obtain
from cxrsync.engine.outage import Emit
from cxrsync.engine.partitions import Partitions
from cxrsync.engine.records import keep_summary, write_progress
from cxrsync.engine.run import Run
from cxrsync.engine.stop import Stop
from cxrsync.engine.tally import Tally
from cxrsync.engine.version import choose_version, claim, no_such_version
from cxrsync.errors import (
    BadAnswer,
    CxrsyncError,
    ExitCode,
    Interrupted,
    Locked,
    NotFound,
    Stopped,
    Throttled,
    Unreachable,
    UsageError,
)
from cxrsync.job import Job, Selection
from cxrsync.model import ROOT, Event, Finished, Started, Summary
from cxrsync.source.base import Source
from cxrsync.store.layout import Tree, disk_error, version_root


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

    error: CxrsyncError | None = None
    run: Run | None = None
    stop.watch(asyncio.current_task())
    try:
        run = await _set_out(job, source, tell, stop)
        await _travel(run, tally, tuple(distrust))
    except asyncio.CancelledError:
        if stop.code is None:
            raise
        if stop.code is not ExitCode.LIMIT:
            error = Stopped("stopped as asked; the state is saved")
            error.exit_code = stop.code
    except BaseExceptionGroup as group:
        error = first_error(group)
        if error is None:
            raise
    except CxrsyncError as problem:
        error = problem
    except OSError as problem:
        error = disk_error(problem, "cannot go on")
        if error is None:
            raise
    finally:
        stop.watch(None)
    code = error.exit_code if error else (stop.code or tally.exit_code())
    summary = tally.summary(
        requests=source.requests, exit_code=int(code), error=str(error) if error else ""
    )
    if run is not None:
        keep_summary(run.tree, run.stamp, summary)
    tell(Finished(summary))
    if error is not None:
        raise error
    return summary


def first_error(group: BaseExceptionGroup[BaseException]) -> CxrsyncError | None:
    """The error that ended a run, out of what its tasks raised together; None if none is ours."""
    found: list[CxrsyncError] = []
    for problem in group.exceptions:
        if isinstance(problem, BaseExceptionGroup):
            inner = first_error(problem)
            if inner is not None:
                found.append(inner)
        elif isinstance(problem, CxrsyncError):
            found.append(problem)
        elif isinstance(problem, OSError) and (error := disk_error(problem, "cannot go on")):
            found.append(error)
    return found[0] if found else None


async def _set_out(job: Job, source: Source, emit: Emit, stop: Stop) -> Run:
    """Decide on the version and the tree; prove that it can be written before anything is asked."""
    version = await choose_version(job, source, emit)
    tree = Tree(version_root(job.dest, job.dataset, version).absolute())
    claim(tree, job.dataset, version)
    emit(Started(job.dataset, version, str(tree.root), str(job.selection), job.limits.connections))
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return Run(job, source, emit, stop, tree, describe(job.dataset), version, stamp)


async def _travel(run: Run, tally: Tally, distrust: tuple[str, ...]) -> None:
    """The manifest, then every partition that the selection touches."""
    manifest = await _manifest(run)
    try:
        names = touched(manifest.partitions, run.job.selection)
        async with asyncio.TaskGroup() as beside:
            tasks = [
                beside.create_task(_keep_time(run)),
                beside.create_task(
                    write_progress(
                        run.tree,
                        lambda: tally.summary(requests=run.source.requests, exit_code=-1),
                    )
                ),
            ]
            await _every_leg(run, tally, manifest, names, distrust)
            for task in tasks:
                task.cancel()
    finally:
        manifest.close()


async def _manifest(run: Run) -> ManifestFile:
    try:
        return await obtain(run)
    except NotFound:
        raise await no_such_version(run.source, run.job.dataset, run.version) from None
    except (Interrupted, BadAnswer, Throttled) as problem:
        raise Unreachable(f"cannot get the manifest: {problem}") from None


async def _every_leg(
    run: Run,
    tally: Tally,
    manifest: ManifestFile,
    names: tuple[str, ...],
    distrust: tuple[str, ...],
) -> None:
    """All partitions in one leg; the root in one of its own where another run holds it now."""
    limits = run.job.limits
    legs = deque([(names, limits.wait_lock)])
    while legs:
        leg, wait = legs.popleft()
        partitions = Partitions(run.tree, leg, run.stamp)
        try:
            await partitions.open(wait, run.stop.flag)
        except Locked as held:
            if held.partition != ROOT or leg == (ROOT,):
                raise
            # A job array's runs share the root: the shards need not wait for it.
            legs.append((tuple(name for name in leg if name != ROOT), wait))
            legs.append(((ROOT,), limits.give_up_after))
            continue
        try:
            await travel_leg(run, tally, manifest, partitions, distrust)
        finally:
            await partitions.close()
    if not tally.selected:
        raise UsageError(
            f"nothing is selected by: {run.job.selection}",
            next_step=f"Take a filter away, or look at the names in {manifest.path}.",
        )


async def _keep_time(run: Run) -> None:
    if run.job.limits.max_duration is not None:
        await asyncio.sleep(run.job.limits.max_duration)
        run.stop.request(ExitCode.LIMIT)


def touched(there: frozenset[str], selection: Selection) -> tuple[str, ...]:
    """The partitions that a selection can touch, of those ``there`` in the manifest.

    Raises UsageError for a shard that is not there.
    """
    lacking = [shard for shard in selection.shards if shard not in there]
    if lacking:
        shards = sorted(there - {ROOT})
        raise UsageError(
            f"the manifest has no shard {', '.join(lacking)}",
            next_step=f"It has {nearest(lacking[0], shards) or 'no shards at all'}.",
        )
    names = set(selection.shards) or there
    if selection.shards and (selection.tables or selection.only):
        names = names | {ROOT}
    return tuple(sorted(names & there))
