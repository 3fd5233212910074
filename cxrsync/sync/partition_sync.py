"""Partitions, locked together: planned, fetched, hashed, published, recorded."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from itertools import islice
from time import monotonic

from cxrsync.config.selection import Selection
from cxrsync.dataset.context import RunContext
from cxrsync.dataset.locking import patience_for_shared
from cxrsync.dataset.resolve_selection import ResolvedSelection
from cxrsync.errors import CxrsyncError, Locked, unwrap
from cxrsync.events import LimitReached, Notice, Planned, Unaccounted
from cxrsync.manifest.file import ManifestFile
from cxrsync.manifest.matcher import PathMatcher
from cxrsync.model import ROOT, Entry, Outcome, Result, partition_of
from cxrsync.plan.capacity import check_room
from cxrsync.plan.carry_over import look_back
from cxrsync.plan.planner import Plan, make_plan
from cxrsync.stats import MAX_NAMED, RunStats
from cxrsync.storage.executors import run_in_thread
from cxrsync.storage.trash import Trash
from cxrsync.storage.tree import Tree
from cxrsync.sync.adopt import Adopter
from cxrsync.sync.copy_over import CarryOver
from cxrsync.sync.outcome_log import Outcomes
from cxrsync.sync.partitions import Partitions
from cxrsync.sync.publisher import Publisher
from cxrsync.sync.report_archive import ReportArchive, may_unpack
from cxrsync.sync.scheduler import Produce, Scheduler
from cxrsync.transfer.pool import TransferPool


async def sync_partitions(
    run: RunContext,
    stats: RunStats,
    manifest: ManifestFile,
    meant: ResolvedSelection,
    *,
    remember: tuple[Selection, ...],
    distrust: tuple[str, ...] = (),
) -> None:
    """Bring everything that is meant, in one leg; the root in one of its own where another run
    holds it now. Raises what ends the run.

    ``remember``: what the tree was pulled with; nothing, for a table that is needed on the way.
    ``distrust``: paths of files that were found wrong, whatever the state says of them.
    """
    limits = run.job.limits
    names = meant.partitions
    # The archive of reports, where it is of use, is fetched in the root.
    if run.dataset.reports_archive and may_unpack(run.job):
        names |= {ROOT}
    # A table on the way: another run may be bringing it just now.
    for_shared = patience_for_shared(limits)
    legs = deque([(names, limits.wait_lock if remember else for_shared)])
    while legs:
        leg, wait = legs.popleft()
        partitions = Partitions(run.tree, leg, run.stamp)
        try:
            await partitions.open(wait, run.emit, run.stop.fail)
        except Locked as held:
            if held.partition != ROOT or leg == {ROOT}:
                raise
            # A job array's runs share the root: the shards need not wait for it.
            legs.append((leg - {ROOT}, wait))
            if ROOT in meant.partitions:
                legs.append((frozenset({ROOT}), for_shared))
            continue
        try:
            await _sync_locked(
                run, stats, manifest, partitions, meant.is_wanted, remember, distrust
            )
        except BaseException:
            with suppress(CxrsyncError):  # the first error is the one to tell
                await partitions.close()
            raise
        await partitions.close()


async def _sync_locked(
    run: RunContext,
    stats: RunStats,
    manifest: ManifestFile,
    partitions: Partitions,
    is_wanted: PathMatcher,
    remember: tuple[Selection, ...],
    distrust: tuple[str, ...],
) -> None:
    """Do everything that is to do in these partitions."""
    for aside in partitions.set_aside:
        run.emit(Notice(f"{aside.parent} held a damaged state: set aside as {aside.name}, rebuilt"))
    for name in partitions.names:
        if name != ROOT:
            run.tree.check_folder("files")
            run.tree.check_folder(f"files/{name}")
    await partitions.forget(distrust)
    plan = await partitions.plan(
        lambda rows: make_plan(manifest, is_wanted, rows, run.tree, run.dataset.kind_of)
    )
    older = await run_in_thread(lambda: look_back(run, plan))
    run.emit(
        Planned(
            selected=plan.selected,
            present=plan.present,
            present_bytes=plan.present_bytes,
            to_fetch=plan.to_fetch,
            to_hash=len(plan.to_hash),
            reusable=len(plan.to_take),
            blocked=len(plan.blocked),
            refused=tuple(plan.refused),
            refused_lines=manifest.refused_lines,
            due=plan.due,
        )
    )
    await check_room(run, plan)
    if plan.selected:
        await partitions.remember(remember)
    if plan.to_fetch or plan.to_hash or plan.blocked:
        await _work(run, stats, partitions, plan, older, frozenset(distrust))
    if not stats.limited and (unsettled := stats.books.unsettled()):
        # Only here, where the manifest is at hand, do they have names.
        lost = (path for path in manifest.paths() if hash(path) in unsettled)
        run.emit(Unaccounted(tuple(islice(lost, MAX_NAMED))))


async def _work(
    run: RunContext,
    stats: RunStats,
    partitions: Partitions,
    plan: Plan,
    older: list[Tree],
    distrust: frozenset[str],
) -> None:
    """Fetch and hash what the plan names; publish to the last, whatever ends it."""
    limits = run.job.limits
    began, before = monotonic(), stats.received
    pool = TransferPool()
    trash = Trash(run.tree, run.stamp, lambda path: partitions.check([partition_of(path)]))
    outcomes = Outcomes(run.emit, partitions, plan.in_root_partition, run.job.acknowledged)

    def set_aside(path: str) -> bool:
        if path in distrust:  # only where a person has asked for a repair
            trash.take(path)
        return path in distrust

    for offset, reason in plan.blocked:
        path = plan.manifest.entry_at(offset).path
        outcomes.fail(Outcome(path, Result.FAILED, reason=reason))

    def published(entry: Entry, outcome: Outcome) -> None:
        outcomes.published(entry, outcome)
        queue.published(entry, outcome)

    publisher = Publisher(
        run.tree,
        partitions,
        trash,
        published,
        fsync=run.job.fsync,
        batch_files=run.batch_files,
    )
    line = run.line(pool, run.probe)
    queue = Scheduler(
        line,
        pool,
        run.tree,
        (run.job.dataset, run.version),
        plan.entries_to_fetch(),
        partitions,
        publisher,
        trash=trash,
        partials=partitions.partials(),
        known=await partitions.contradictions(),
        fail=outcomes.fail,
        contradict=outcomes.contradict,
        most_files=None if limits.max_files is None else max(0, limits.max_files - stats.tried),
    )
    producers: list[Produce] = []
    if len(plan.to_hash):
        hashing = Adopter(
            run.tree,
            plan.entries_to_hash(),
            queue,
            publisher,
            outcomes.fail,
            fsync=run.job.fsync,
            set_aside=set_aside,
        )
        producers.append(hashing.run)
    if len(plan.to_take):
        producers.append(CarryOver(run, plan, older, partitions, queue, publisher).run)
    archive = ReportArchive(run, partitions, plan, publisher)
    ended: list[BaseException] = []
    try:
        async with asyncio.TaskGroup() as group:
            publishing = group.create_task(publisher.run())
            showing = group.create_task(partitions.publish_snapshots())
            try:
                await archive.unpack(line, pool)
                group.create_task(outcomes.release_root())  # the archive is the root's
                await queue.serve(limits.connections, producers)
            except (asyncio.CancelledError, Exception) as problem:  # noqa: BLE001
                ended.append(problem)  # and raised below: what is verified is published first
            try:
                await queue.close()
                await publisher.close()
                await publishing
            finally:
                showing.cancel()
                queue.fail_spent()
                outcomes.end()
        await outcomes.record()
        await partitions.record_rate(stats.received - before, monotonic() - began)
    except (asyncio.CancelledError, Exception) as problem:  # noqa: BLE001
        ended.append(problem)
    if queue.stopped_at_limit:
        run.emit(LimitReached())
    if ended:
        raise unwrap(*ended) from None
