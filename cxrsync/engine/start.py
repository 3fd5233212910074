"""Where a run begins: the version, the tree, and proof that it can be written."""

from __future__ import annotations

from datetime import UTC, datetime

from cxrsync.catalog import describe
from cxrsync.engine.run import Run
from cxrsync.engine.stop import Stop
from cxrsync.engine.version import choose_version, claim
from cxrsync.job import Job
from cxrsync.model import Emit, Kind, Notice, Started
from cxrsync.source.base import Source
from cxrsync.store.layout import Tree, version_root


async def set_out(job: Job, source: Source, emit: Emit, stop: Stop) -> Run:
    """Decide on the version and the tree; prove that it can be written before anything is asked."""
    version = await choose_version(job, source, emit)
    tree = Tree(version_root(job.dest, job.dataset, version).absolute())
    claim(tree, job.dataset, version)
    emit(Started(job.dataset, version, str(tree.root), str(job.selection), job.limits.connections))
    known = describe(job.dataset)
    if Kind.TABLES in job.selection.only and known.elsewhere:
        emit(Notice(known.elsewhere))  # people look here for tables that are not here
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return Run(job, source, emit, stop, tree, known, version, stamp)
