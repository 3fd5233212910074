"""Prepare a run: choose version and tree, and check the destination, before any download."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from time import time

from cxrsync.cancellation import CancelToken
from cxrsync.catalog.load import dataset_info
from cxrsync.clock import Clock, utc_now
from cxrsync.config.job import Job
from cxrsync.dataset.run_context import Network, RunContext
from cxrsync.dataset.shared_tree import access_of, lost_access, mark_outdated, recorded_access
from cxrsync.dataset.target import Target
from cxrsync.dataset.tree_identity import claim_tree
from cxrsync.dataset.version import choose_version, destination, local_source
from cxrsync.errors import UsageError
from cxrsync.events import EventSink, Notice, Started, TreeNotice
from cxrsync.model import Kind
from cxrsync.operations.run_log import run_stamp
from cxrsync.preflight.checks import git_warning, refuse_synced_drive
from cxrsync.preflight.destination import inspect
from cxrsync.progress_events import Activity, Phase
from cxrsync.sources.base import Source
from cxrsync.stats import RunStats
from cxrsync.storage.filesystem import forbidden_error, forbidden_folder
from cxrsync.storage.tree import Tree
from cxrsync.sync.open_file_limit import file_budget
from cxrsync.threads import Writers, in_loop_thread, run_in_thread
from cxrsync.transfer.budget import Budget
from cxrsync.transfer.disk_guard import DiskGuard
from cxrsync.transfer.paced_source import PacedSource
from cxrsync.transfer.rate_limit import RateLimiter
from cxrsync.transfer.source_limits import LimitsOfSources

# Bytes per second below which a rate is probably written without its unit.
_ODD_RATE = 1000


@asynccontextmanager
async def prepare(
    job: Job,
    source: Source,
    emit: EventSink,
    stats: RunStats,
    cancel: CancelToken,
    now: Clock = time,
) -> AsyncIterator[RunContext]:
    """Choose version and tree, create and check the tree, and yield the context of the run.

    Raises: UsageError if version or tree are ambiguous, if the tree belongs to another dataset, or
    if it lies on a drive that syncs online; DiskError.
    """
    emit = in_loop_thread(emit)
    emit(Phase(Activity.ASKING, source.identity))
    rate_limiter = RateLimiter(job.limits.rate, emit, now=partial(utc_now, now))
    source = PacedSource(source, rate_limiter)
    version = await choose_version(job, source, emit)
    target = Target(await create_tree(job, version, emit), dataset_info(job.dataset), version)
    asked = job.limits.connections
    budget, open_files = file_budget(asked)
    job = replace(job, limits=replace(job.limits, connections=budget.connections))
    root = str(target.tree.root)
    emit(Started(job.dataset, version, root, str(job.selection), budget.connections))
    if budget.connections < asked:
        emit(
            Notice(
                f"at most {open_files} files may be open at a time (ulimit -n): "
                f"{budget.connections} of {asked} connections are used"
            )
        )
    if (slowest := job.limits.rate.slowest) is not None and slowest < _ODD_RATE:
        emit(
            Notice(
                f"--limit-rate is {slowest:g} bytes per second; for {slowest:g} MB per second "
                f"write {slowest:g}M, for kilobytes {slowest:g}k"
            )
        )
    if Kind.TABLES in job.selection.only and target.dataset.elsewhere:
        emit(Notice(target.dataset.elsewhere))  # users look here for tables of another dataset
    if warning := await run_in_thread(lambda: git_warning(inspect(target.tree.root))):
        emit(Notice(warning))
    limits_of = LimitsOfSources(source, job.limits, emit, rate_limiter)
    with Writers() as writers, _permissions_watched(target.tree):
        yield RunContext(
            job=job,
            target=target,
            source=source,
            network=Network(limits_of, rate_limiter),
            emit=emit,
            stats=stats,
            cancel=cancel,
            stamp=await run_in_thread(lambda: run_stamp(target.tree, now())),
            batch_files=budget.batch_files,
            writers=writers,
            budget=Budget(job.limits.max_files, job.limits.max_bytes),
            disk=DiskGuard(target.tree.root, job.limits.keep_free),
            now=now,
        )


@contextmanager
def _permissions_watched(tree: Tree) -> Iterator[None]:
    try:
        yield
    finally:
        mark_outdated(tree)


def _refuse_own_source(job: Job, version: str, tree: Tree) -> None:
    """Raise UsageError if the tree is to be copied from itself: what is wrong in it would be moved
    away first."""
    for folder in job.origin.folders:
        found = local_source(job, folder).find_existing(job.dataset, version)
        if found is not None and os.path.realpath(found.root) == os.path.realpath(tree.root):
            raise UsageError(
                f"--from {folder} is the tree that would be filled: {tree.root}",
                next_step="Leave --from out to fetch what is missing from the server. To check "
                f"what is there: cxrsync verify --dest {tree.root}",
            )


async def create_tree(job: Job, version: str, emit: EventSink) -> Tree:
    """Check, create and claim the tree of the version in the job's destination.

    Raises: UsageError, DiskError; RefusedForSafety if the job says that it must exist.
    """
    location = destination(job)
    found = location.find(job.dataset, version)
    tree = Tree(found.root)
    if (forbidden := forbidden_folder(tree.root)) is not None:
        raise forbidden_error(forbidden)
    _refuse_own_source(job, version, tree)
    tree.access, note = (
        recorded_access(tree) if job.permissions is None else (access_of(job.permissions), "")
    )
    asked = tree.access
    if not job.allow_synced:
        refuse_synced_drive(await run_in_thread(lambda: inspect(tree.root)))
    if notice := location.notice(found, job.dataset, version):
        emit(TreeNotice(notice))
    claim_tree(tree, job.dataset, version, must_exist=job.must_exist)
    for text in filter(None, (note, lost_access(tree, asked))):
        emit(Notice(text))
    return tree
