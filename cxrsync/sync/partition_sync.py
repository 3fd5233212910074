"""Sync partitions: lock them, make a plan, then fetch, hash, publish and record the files."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from time import monotonic

from cxrsync.config.selection import Selection
from cxrsync.dataset.copies import copy_finder
from cxrsync.dataset.locking import shared_lock_timeout
from cxrsync.dataset.resolve_selection import ResolvedSelection
from cxrsync.dataset.run_context import RunContext
from cxrsync.errors import CxrsyncError, Locked, unwrap
from cxrsync.events import LimitReached, Notice, Planned, Unaccounted
from cxrsync.model import ROOT, FileRecord, Outcome, Result, partition_of
from cxrsync.plan.capacity import check_free_space, expected_sizes
from cxrsync.plan.copies import DROPPED_BATCH, order_of, remarks
from cxrsync.plan.planner import Copies, Plan, PlanOptions, make_plan, time_key
from cxrsync.plan.refetch import check_refetch, gone_remarks
from cxrsync.plan.reusable_files import find_reusable
from cxrsync.progress_events import Activity, Phase
from cxrsync.stats import MAX_NAMED
from cxrsync.storage.trash import Trash
from cxrsync.sync.adopt import Adopter
from cxrsync.sync.copy_reusable import CarryOver
from cxrsync.sync.copying import Copying
from cxrsync.sync.derive import Deriver
from cxrsync.sync.outcome_log import OutcomeLog
from cxrsync.sync.partitions import Partitions
from cxrsync.sync.publisher import Publisher
from cxrsync.sync.reports_zip import ReportArchive, may_unpack
from cxrsync.sync.scheduler import Producer, Scheduler
from cxrsync.sync.sync_context import SyncContext
from cxrsync.threads import run_in_thread
from cxrsync.transfer.pool import TransferPool


@dataclass(frozen=True, slots=True)
class SyncOrder:
    """What to sync in one target.

    ``recorded_selections``: the selections that the states record as pulled; none for a table that
    is fetched only to resolve the selection. ``distrust``: paths of files that were found wrong;
    their records do not count. ``copying``: what makes smaller copies of the images; None: none are
    made.
    """

    selected: ResolvedSelection
    recorded_selections: tuple[Selection, ...] = ()
    distrust: frozenset[str] = frozenset()
    copying: Copying | None = None


async def sync_partitions(run: RunContext, order: SyncOrder) -> None:
    """Sync all partitions of the order, locked together.

    If another run holds the root partition now, it is synced after the shards.

    Raises: any CxrsyncError that ends the run.
    """
    names = order.selected.partitions
    if run.target.dataset.reports_archive and may_unpack(run.job):
        names |= {ROOT}  # the archive of reports is in the root partition
    if not names:  # no file is selected in the partitions of the job
        return
    # Another run may hold the root partition now, to fetch a table that every run needs.
    shared_timeout = shared_lock_timeout(run.job.limits)
    waiting = deque(
        [(names, run.job.limits.wait_lock if order.recorded_selections else shared_timeout)]
    )
    while waiting:
        batch, timeout = waiting.popleft()
        partitions = Partitions(run.target.tree, batch, run.stamp, run.now)
        try:
            await partitions.open(timeout, run.emit, run.cancel.fail)
        except Locked as locked:
            if locked.partition != ROOT or batch == {ROOT}:
                raise
            # The runs of a job array share the root: the shards need not wait for it.
            waiting.append((batch - {ROOT}, timeout))
            if ROOT in order.selected.partitions:
                waiting.append((frozenset({ROOT}), shared_timeout))
            continue
        try:
            await _sync_locked(run, order, partitions)
        except BaseException:
            with suppress(CxrsyncError):  # the first error is the one to raise
                await partitions.close()
            raise
        await partitions.close()


async def _sync_locked(run: RunContext, order: SyncOrder, partitions: Partitions) -> None:
    """Make the plan for these partitions, and carry it out."""
    for path in partitions.set_aside:
        run.emit(
            Notice(f"the state in {path.parent} was damaged: it is kept as {path.name} and rebuilt")
        )
    for name in partitions.names:
        if name != ROOT:
            run.target.tree.check_folder("files")
            run.target.tree.check_folder(f"files/{name}")
    times = await _times_of(run, order.distrust, partitions)
    await partitions.delete_records(order.distrust)
    plan = await _make_plan(run, order, partitions)
    plan = replace(plan, times={**times, **plan.times})
    await check_free_space(run, plan)
    run.emit(expected_sizes(run, plan))
    if plan.selected:
        await partitions.record_selections(order.recorded_selections)
    if not plan.is_empty:
        await _PlanExecution(run, order, partitions, plan).run()
    if not run.stats.limited and (unsettled := run.stats.books.unsettled()):
        # The plan holds only hashes of paths: the manifest is needed to name the files.
        paths = (path for path in order.selected.manifest.paths() if hash(path) in unsettled)
        run.emit(Unaccounted(tuple(islice(paths, MAX_NAMED))))


async def _times_of(
    run: RunContext, paths: frozenset[str], partitions: Partitions
) -> dict[int, int]:
    """Return the recorded times of files, if a store is asked, which does not tell them."""
    if not paths or not run.job.origin.stores:
        return {}
    return await partitions.plan(
        lambda records: {
            time_key(each.path, each.sha256): each.mtime_ns
            for each in chain.from_iterable(records.values())
            if each.path in paths
        }
    )


async def _make_plan(run: RunContext, order: SyncOrder, partitions: Partitions) -> Plan:
    manifest, target = order.selected.manifest, run.target
    run.emit(Phase(Activity.PLANNING, target.name))
    wants = order_of(run.job) if order.copying is None else order.copying.order

    def draft(records: dict[str, Iterator[FileRecord]]) -> Plan:
        copying = order.copying
        copies = copying.copies() if copying else Copies(wants, copy_finder(target))
        is_wanted, kind_of = order.selected.is_wanted, target.dataset.kind_of
        options = PlanOptions(copies, with_times=bool(run.job.origin.stores))
        return make_plan(manifest, is_wanted, records, target.tree, kind_of, options)

    drafted = await partitions.plan(draft)
    root = str(target.tree.root)
    check_refetch(run.job.refresh, drafted.gone, drafted.verified, root)
    replaced = drafted.replaced
    for text in chain(
        remarks(wants, replaced.returning, replaced.kept.files),
        gone_remarks(run.job.refresh, drafted.gone, root),
    ):
        run.emit(Notice(text))
    plan = await run_in_thread(lambda: find_reusable(run, drafted))
    run.emit(
        Planned(
            selected=plan.selected,
            present=plan.present.files,
            present_bytes=plan.present.bytes,
            to_fetch=plan.to_fetch,
            to_hash=len(plan.to_hash),
            reusable=len(plan.reusable),
            blocked=len(plan.blocked),
            refused=plan.rejected,
            refused_lines=manifest.refused_lines,
            due=plan.due,
            to_copy=len(plan.to_copy),
            derived=plan.replaced.kept.files,
            derived_bytes=plan.replaced.kept.bytes,
            copy_bytes=plan.replaced.copies,
        )
    )
    return plan


class _PlanExecution:
    """Carry out a plan in locked partitions."""

    def __init__(
        self, run: RunContext, order: SyncOrder, partitions: Partitions, plan: Plan
    ) -> None:
        self._run = run
        self._order = order
        self._plan = plan
        tree, pool = run.target.tree, TransferPool()
        trash = Trash(tree, run.stamp, lambda path: partitions.check([partition_of(path)]))
        outcomes = OutcomeLog(run.emit, partitions, plan.in_root_partition, run.job.acknowledged)
        context = run.transfer_context(pool, run.probe)
        deriver = None
        batch_files = run.batch_files
        if (copying := order.copying) is not None:
            deriver = Deriver(copying, tree, partitions, outcomes, run.disk)
            batch_files = min(batch_files, DROPPED_BATCH) if deriver.drops else batch_files
        publisher = Publisher(
            *(tree, partitions, trash, outcomes),
            fsync=run.job.fsync,
            batch_files=batch_files,
        )
        if deriver is not None:
            publisher.pass_images_to(deriver)
        self._sync = SyncContext(
            run.target, partitions, trash, outcomes, publisher, pool, context, plan.times, deriver
        )

    async def run(self) -> None:
        """Fetch, hash and copy the files of the plan.

        Verified files are published even if an error or a cancellation ends the work.

        Raises: any CxrsyncError that ends the run.
        """
        run, sync = self._run, self._sync
        for offset, reason in self._plan.blocked:
            path = self._plan.manifest.entry_at(offset).path
            sync.outcomes.failed(Outcome(path, Result.FAILED, reason=reason))
        scheduler = Scheduler(
            sync,
            partials=sync.partitions.partials(),
            known=await sync.partitions.known_mismatches(),
        )
        began, received_before = monotonic(), run.stats.received
        problems: list[BaseException] = []
        try:
            async with asyncio.TaskGroup() as group:
                publishing = group.create_task(sync.publisher.run())
                deriving = group.create_task(sync.deriver.run()) if sync.deriver else None
                snapshots = group.create_task(sync.partitions.publish_snapshots())
                try:
                    await self._fetch(scheduler, group)
                except (asyncio.CancelledError, Exception) as problem:  # noqa: BLE001
                    problems.append(problem)  # raised below: verified files are published first
                    if sync.deriver is not None:
                        sync.deriver.abandon()
                try:
                    await scheduler.close()
                    await sync.publisher.close()
                    await publishing
                    if sync.deriver is not None and deriving is not None:
                        await sync.deriver.close()
                        await deriving
                finally:
                    snapshots.cancel()
                    scheduler.fail_exhausted()
                    sync.outcomes.close()
            await sync.outcomes.record()
            received = run.stats.received - received_before
            await sync.partitions.record_rate(received, monotonic() - began)
        except (asyncio.CancelledError, Exception) as problem:  # noqa: BLE001
            problems.append(problem)
        if scheduler.stopped_at_limit:
            run.emit(LimitReached())
        if problems:
            raise unwrap(*problems) from None

    async def _fetch(self, scheduler: Scheduler, group: asyncio.TaskGroup) -> None:
        self._run.emit(Phase(Activity.FETCHING))
        plan = await ReportArchive(self._run, self._sync, self._plan).unpack()
        # Only now: the archive of reports is in the root partition.
        group.create_task(self._sync.outcomes.release_root())
        if (deriver := self._sync.deriver) is not None and deriver.drops:
            # First what is here: it takes space.
            await deriver.submit_all(self._plan.entries_to_copy())
        await scheduler.serve(
            plan.entries_to_fetch(),
            self._run.network.limits_of.connections,
            list(self._producers(scheduler)),
        )

    def _producers(self, scheduler: Scheduler) -> Iterator[Producer]:
        """Yield the work that runs next to the connections and may add files to fetch."""
        if self._plan.to_hash:
            yield Adopter(
                self._sync,
                self._plan.entries_to_hash(),
                scheduler,
                fsync=self._run.job.fsync,
                set_aside=self._set_aside,
            ).run
        deriver = self._sync.deriver
        if deriver is not None and not deriver.drops and self._plan.to_copy:
            yield lambda: deriver.submit_all(self._plan.entries_to_copy())
        if self._plan.reusable:
            yield CarryOver(self._sync, self._plan, scheduler, self._run.job.link).run

    def _set_aside(self, path: str) -> bool:
        """Move a file that the disk cannot read to the trash, if the user has asked for a repair;
        return whether it was moved."""
        is_repair = path in self._order.distrust
        if is_repair:
            self._sync.trash.move(path)
        return is_repair
