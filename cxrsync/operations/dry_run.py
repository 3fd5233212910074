"""Dry run: find out what a pull would do, by manifest, tables and the files on the disk."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace

from cxrsync import humanize
from cxrsync.cancellation import CancelToken
from cxrsync.catalog.load import load_stores
from cxrsync.config.job import Job
from cxrsync.dataset.partition_states import partition_names
from cxrsync.dataset.resolve_selection import ResolvedSelection
from cxrsync.dataset.run_context import RunContext
from cxrsync.errors import RefusedForSafety, WillNotFit
from cxrsync.events import EventSink, Notice
from cxrsync.model import FileRecord, Kind
from cxrsync.operations.exit_status import explained_errors
from cxrsync.operations.prepare import prepare
from cxrsync.operations.prerequisites import fetch_prerequisites
from cxrsync.operations.resolve import resolve
from cxrsync.plan.capacity import (
    beyond_keep_free,
    describe_space,
    needed_bytes,
    needed_files,
    partial_usage,
    published_estimate,
    shortage_of,
    usable_space,
)
from cxrsync.plan.copies import remarks
from cxrsync.plan.forecast import Forecast
from cxrsync.plan.planner import Plan, PlanOptions, make_plan
from cxrsync.plan.refetch import check_refetch
from cxrsync.plan.reusable_files import find_reusable
from cxrsync.sources.base import Source
from cxrsync.stats import RunStats
from cxrsync.storage.state_db import State
from cxrsync.sync.copying import copies_planned
from cxrsync.sync.delete import find_withdrawn
from cxrsync.threads import run_in_thread


async def forecast(job: Job, source: Source, emit: EventSink, cancel: CancelToken) -> Forecast:
    """Return what a pull of the job would do.

    Fetches the manifest and the tables that the selection needs, and nothing else.

    Raises: UsageError, and any CxrsyncError that ends a run.
    """
    with explained_errors(cancel):
        async with prepare(job, source, emit, RunStats(), cancel) as run:
            prerequisites = await fetch_prerequisites(run)
            with closing(prerequisites.manifest):
                selected = await resolve(run, prerequisites)
                plan = await run_in_thread(lambda: _make_plan(run, selected))
                await _announce_refresh(run, selected, plan)
                return await _forecast(run, plan)


async def _forecast(run: RunContext, plan: Plan) -> Forecast:
    size_estimate = await published_estimate(run, plan)
    if run.job.with_reports:
        reports_in = run.target.dataset.reports_in
        run.emit(Notice(f"the reports, which are in {reports_in}, are not counted"))
    if plan.blocked:
        blocked = humanize.files(len(plan.blocked))
        run.emit(Notice(f"{blocked} cannot be created: {_reasons(plan)}"))
    partials = await run_in_thread(lambda: partial_usage(run, plan))
    partial_bytes = partials[1]
    free = await usable_space(run)
    refusal = None
    if shortage_of(plan, size_estimate, free, partial_bytes) is not None:
        space = describe_space(plan, size_estimate, free, partial_bytes)
        refusal = WillNotFit(f"it will not fit on the disk: {space}{beyond_keep_free(run)}")
    stores = run.job.origin.stores
    return Forecast(
        root=str(run.target.tree.root),
        dataset=run.target.dataset.slug,
        version=run.target.version,
        selection=str(run.job.selection),
        inventory=plan.inventory,
        selected=plan.selected,
        reusable=len(plan.reusable),
        resumable=partials,
        estimate=size_estimate,
        need_bytes=needed_bytes(plan, size_estimate, partial_bytes),
        need_files=needed_files(plan),
        free_space=free,
        rate=await run_in_thread(lambda: _last_rate(run)),
        refusal=refusal,
        store=str(stores[0]) if stores else "",
        price=load_stores().prices.get(stores[0].service.value) if stores else None,
    )


async def _announce_refresh(run: RunContext, selected: ResolvedSelection, plan: Plan) -> None:
    """Emit what the pull would refuse to fetch again, and what it would delete."""
    refresh = run.job.refresh
    try:
        check_refetch(refresh, plan.gone, plan.verified, str(run.target.tree.root))
    except RefusedForSafety as refused:
        run.emit(Notice(f"a pull would be refused: {refused}. {refused.next_step}"))
    if refresh.delete:
        left = await run_in_thread(lambda: find_withdrawn(run, selected))
        if left:
            run.emit(
                Notice(
                    f"{humanize.files(len(left))} on the disk left the manifest; --delete moves "
                    "those that were not changed to the trash"
                )
            )


def _make_plan(run: RunContext, selected: ResolvedSelection) -> Plan:
    """Make the plan that a pull would make; take no lock, and write nothing."""
    tree = run.target.tree
    with ExitStack() as stack:
        records: dict[str, Iterator[FileRecord]] = {}
        for name in selected.partitions:
            state = State.read(tree.partition(name))
            records[name] = iter(()) if state is None else stack.enter_context(state).records()
        copies = copies_planned(run)
        kind_of = run.target.dataset.kind_of
        plan = make_plan(
            selected.manifest, selected.is_wanted, records, tree, kind_of, PlanOptions(copies)
        )
    for text in remarks(copies.order, plan.replaced.returning, plan.replaced.kept.files):
        run.emit(Notice(text))
    if pixels := run.job.resize:
        images = humanize.files(plan.to_fetch_of(Kind.IMAGES) + len(plan.to_copy))
        then = "; their originals are removed" if run.job.drop_originals else ""
        run.emit(Notice(f"{images} get a copy of {pixels} pixels{then}"))
    return _without_absent(find_reusable(run, plan))


def _without_absent(plan: Plan) -> Plan:
    """Return the plan without reusable files that an older version lists but does not hold. They
    have to be fetched."""
    existing, in_shards = array("Q"), array("Q", plan.in_shards)
    for offset, (_entry, path) in zip(plan.reusable, plan.entries_to_reuse(), strict=True):
        exists = any(tree.find(path) is not None for tree in plan.older)
        (existing if exists else in_shards).append(offset)
    return replace(plan, reusable=existing, in_shards=in_shards)


def _reasons(plan: Plan) -> str:
    """Return why files are blocked: the first reason, and the number of other ones."""
    first, *others = dict.fromkeys(reason for _offset, reason in plan.blocked)
    return first + (f" (and {len(others):,} more reasons)" if others else "")


def _last_rate(run: RunContext) -> float | None:
    """Return the download rate of the last run in bytes per second, from any partition's state."""
    rates = []
    for name in partition_names(run.target.tree):
        state = State.read(run.target.tree.partition(name))
        if state is not None:
            with state:
                rates.append(state.last_rate())
    known = [rate for rate in rates if rate is not None]
    return max(known)[1] if known else None
