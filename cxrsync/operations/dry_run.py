"""What a pull would do, without doing it: from what is here, and from manifest and tables."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from cxrsync import humanize
from cxrsync.cancellation import CancelToken
from cxrsync.config.job import Job
from cxrsync.dataset.context import RunContext
from cxrsync.dataset.states import partition_names
from cxrsync.errors import WillNotFit
from cxrsync.events import EventSink, Notice
from cxrsync.model import FileRecord
from cxrsync.operations.exit_status import in_our_words
from cxrsync.operations.prepare import prepare
from cxrsync.operations.resolve import Resolved, resolve
from cxrsync.plan.capacity import (
    files_to_make,
    in_words,
    lacking,
    need,
    partial_usage,
    published_estimate,
)
from cxrsync.plan.carry_over import look_back
from cxrsync.plan.forecast import Forecast
from cxrsync.plan.planner import Plan, make_plan
from cxrsync.sources.base import Source
from cxrsync.stats import RunStats
from cxrsync.storage.disk_space import free_space
from cxrsync.storage.executors import run_in_thread
from cxrsync.storage.state_db import State
from cxrsync.storage.tree import Tree


async def forecast(job: Job, source: Source, emit: EventSink, stop: CancelToken) -> Forecast:
    """What a pull of the job would do. Fetches manifest and tables, as far as they are needed to
    know it, and nothing else. Raises UsageError, and what ends a run."""
    with in_our_words(stop):
        run = await prepare(job, source, emit, stop)
        resolved = await resolve(run, RunStats())
        try:
            plan = await run_in_thread(lambda: _plan(run, resolved))
            guess = await published_estimate(run, plan)
        finally:
            resolved.manifest.close()
    if job.with_reports:
        emit(Notice(f"the reports, which are in {run.dataset.reports_in}, are not counted here"))
    if plan.blocked:
        emit(
            Notice(f"{humanize.files(len(plan.blocked))} cannot be put in place: {_reasons(plan)}")
        )
    partials = await run_in_thread(lambda: partial_usage(run, plan))
    here = partials[1]
    free = await run_in_thread(lambda: free_space(run.tree.root))
    short = None
    if lacking(plan, guess, free, here) is not None:
        short = WillNotFit(f"it will not fit on the disk: {in_words(plan, guess, free, here)}")
    return Forecast(
        root=str(run.tree.root),
        dataset=job.dataset,
        version=run.version,
        selection=str(job.selection),
        inventory=plan.inventory,
        selected=plan.selected,
        to_take=len(plan.to_take),
        resumable=partials,
        estimate=guess,
        need_bytes=need(plan, guess, here),
        need_files=files_to_make(plan),
        room=free,
        rate=await run_in_thread(lambda: _last_rate(run)),
        refusal=short,
    )


def _plan(run: RunContext, resolved: Resolved) -> Plan:
    """The plan that a pull would make, from states as they are now: no lock, nothing written."""
    with ExitStack() as stack:
        rows: dict[str, Iterator[FileRecord]] = {}
        for name in resolved.meant.partitions:
            state = State.read(run.tree.partition(name))
            rows[name] = iter(()) if state is None else stack.enter_context(state).rows()
        plan = make_plan(
            resolved.manifest, resolved.meant.is_wanted, rows, run.tree, run.dataset.kind_of
        )
    _keep_what_is_there(plan, look_back(run, plan))
    return plan


def _keep_what_is_there(plan: Plan, older: Sequence[Tree]) -> None:
    """An older version's manifest may list what was never pulled: that has to be fetched."""
    there: array[int] = array("Q")
    for offset in plan.to_take:
        path = plan.elsewhere.get(offset) or plan.manifest.entry_at(offset).path
        kept = any(tree.find(path) is not None for tree in older)
        (there if kept else plan.in_shards).append(offset)
    plan.to_take = there


def _reasons(plan: Plan) -> str:
    """Why files cannot be put in place, each reason once."""
    first, *others = dict.fromkeys(reason for _offset, reason in plan.blocked)
    return first + (f" (and {len(others):,} more reasons)" if others else "")


def _last_rate(run: RunContext) -> float | None:
    """What the line gave last, in bytes per second, whichever partition notes it."""
    rates = []
    for name in partition_names(run.tree):
        state = State.read(run.tree.partition(name))
        if state is not None:
            with state:
                rates.append(state.last_rate())
    known = [rate for rate in rates if rate is not None]
    return max(known)[1] if known else None
