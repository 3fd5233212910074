"""Where a run begins: the version, the tree, and proof that it can be written."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from cxrsync.cancellation import CancelToken
from cxrsync.catalog.load import dataset_info
from cxrsync.config.job import Job
from cxrsync.dataset.context import RunContext
from cxrsync.dataset.tree_identity import claim_tree
from cxrsync.dataset.version import choose_version, destination
from cxrsync.events import EventSink, Notice, Started, TreeNotice
from cxrsync.model import Kind
from cxrsync.preflight.checks import refuse_synced, warning_of_git
from cxrsync.preflight.destination import inspect
from cxrsync.sources.base import Source
from cxrsync.storage.executors import run_in_thread
from cxrsync.storage.tree import Tree
from cxrsync.sync.open_files import share_of
from cxrsync.transfer.concurrency import ConcurrencyLimiter
from cxrsync.transfer.rate_limit import RateLimiter
from cxrsync.transfer.server_health import ServerHealth


async def prepare(job: Job, source: Source, emit: EventSink, stop: CancelToken) -> RunContext:
    """Decide on the version and the tree; prove that it can be written before anything is asked.

    Raises UsageError where it is not plain which folder is meant, where that is another's, or on a
    drive that syncs online.
    """
    version = await choose_version(job, source, emit)
    place = destination(job)
    found = place.find(job.dataset, version)
    tree = Tree(found.root)
    around = await run_in_thread(lambda: inspect(tree.root))
    if not job.allow_synced:
        refuse_synced(around)
    if notice := place.notice(found, job.dataset, version):
        emit(TreeNotice(notice))
    claim_tree(tree, job.dataset, version)
    asked = job.limits.connections
    share, open_files = share_of(asked)
    job = replace(job, limits=replace(job.limits, connections=share.connections))
    emit(Started(job.dataset, version, str(tree.root), str(job.selection), job.limits.connections))
    if share.connections < asked:
        emit(Notice(_of_limit(open_files, share.connections, asked)))
    known = dataset_info(job.dataset)
    if Kind.TABLES in job.selection.only and known.elsewhere:
        emit(Notice(known.elsewhere))  # people look here for tables that are not here
    if warning := await run_in_thread(lambda: warning_of_git(around)):
        emit(Notice(warning))
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    rate_limiter = RateLimiter(job.limits.rate)
    limiter = ConcurrencyLimiter(job.limits, emit)
    server_health = ServerHealth(job.limits.give_up_after, emit, limiter)
    batch = share.batch_files
    return RunContext(
        job,
        source,
        emit,
        stop,
        tree,
        known,
        version,
        stamp,
        rate_limiter,
        limiter,
        server_health,
        batch,
    )


def _of_limit(open_files: int, connections: int, asked: int) -> str:
    return (
        f"at most {open_files} files may be open at a time (ulimit -n): {connections} of {asked} "
        "connections are used"
    )
