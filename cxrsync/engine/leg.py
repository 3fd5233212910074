"""Some partitions, locked together: planned, fetched, hashed, published, recorded."""

from __future__ import annotations

import asyncio

from cxrsync.engine.flight import Flight
from cxrsync.engine.hashing import Hashing
from cxrsync.engine.manifest import ManifestFile
from cxrsync.engine.partitions import Partitions
from cxrsync.engine.plan import Plan, make_plan
from cxrsync.engine.publication import Publication
from cxrsync.engine.queue import Queue
from cxrsync.engine.run import Run
from cxrsync.engine.tally import Tally
from cxrsync.manifest.select import wanted
from cxrsync.model import (
    Contradiction,
    Entry,
    FileDone,
    LimitReached,
    Notice,
    Outcome,
    Planned,
    Result,
)
from cxrsync.store.publish import Trash


async def travel_leg(
    run: Run,
    tally: Tally,
    manifest: ManifestFile,
    partitions: Partitions,
    distrust: tuple[str, ...],
) -> None:
    """Do everything that is to do in these partitions. Raises what ends the run.

    ``distrust``: paths of files that were found wrong, whatever the state says of them.
    """
    for aside in partitions.set_aside:
        run.emit(Notice(f"{aside.parent} held a damaged state: set aside as {aside.name}, rebuilt"))
    await partitions.forget(distrust)
    is_wanted = wanted(run.job.selection, run.dataset)
    plan = await partitions.plan(lambda rows: make_plan(manifest, is_wanted, rows, run.tree))
    run.emit(
        Planned(
            selected=plan.selected,
            present=plan.present,
            present_bytes=plan.present_bytes,
            to_fetch=plan.to_fetch,
            to_hash=len(plan.to_hash),
            refused=tuple(plan.refused),
            refused_lines=manifest.refused_lines,
        )
    )
    if plan.selected:
        await partitions.remember(run.job.selection)
    if plan.to_fetch or plan.to_hash:
        await _work(run, tally, partitions, plan)


async def _work(run: Run, tally: Tally, partitions: Partitions, plan: Plan) -> None:
    """Fetch and hash what the plan names; publish to the last, whatever ends it."""
    limits = run.job.limits
    flight = Flight()
    trash = Trash(run.tree, run.stamp)
    failures: list[Outcome] = []
    contradictions: list[Contradiction] = []

    def fail(outcome: Outcome) -> None:
        failures.append(outcome)
        run.emit(FileDone(outcome))

    def contradict(contradiction: Contradiction, outcome: Outcome) -> None:
        contradictions.append(contradiction)
        run.emit(FileDone(outcome))

    def done(entry: Entry, outcome: Outcome) -> None:
        if outcome.result is Result.FAILED:
            failures.append(outcome)
        run.emit(FileDone(outcome))
        queue.published(entry, outcome)

    publication = Publication(run.tree, partitions, trash, done, fsync=run.job.fsync)
    queue = Queue(
        run.line(flight, limits.give_up_after, run.probe),
        flight,
        run.tree,
        (run.job.dataset, run.version),
        plan.entries_to_fetch(),
        publication,
        trash=trash,
        partials=partitions.partials(),
        known=await partitions.contradictions(),
        fail=fail,
        contradict=contradict,
        most_files=None if limits.max_files is None else max(0, limits.max_files - tally.tried),
    )
    hashing = Hashing(run.tree, plan.entries_to_hash(), queue, publication, fail)
    ended: BaseException | None = None
    async with asyncio.TaskGroup() as outer:
        outer.create_task(publication.run())
        try:
            async with asyncio.TaskGroup() as inner:
                if len(plan.to_hash):
                    inner.create_task(hashing.run())
                for _ in range(limits.connections):
                    inner.create_task(queue.connection())
        except (asyncio.CancelledError, BaseExceptionGroup) as problem:
            # Not swallowed: what is verified is published first.
            ended = problem
        await queue.close()
        await publication.close()
    await partitions.record(contradictions=contradictions, failures=failures)
    if queue.stopped_at_limit:
        run.emit(LimitReached())
    if ended is not None:
        raise ended
