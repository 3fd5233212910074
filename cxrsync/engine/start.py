"""Where a run begins: the version, the tree, and proof that it can be written."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from cxrsync.catalog import describe
from cxrsync.engine.brake import Brake
from cxrsync.engine.open_files import share_of
from cxrsync.engine.outage import Outage
from cxrsync.engine.run import Run
from cxrsync.engine.stop import Stop
from cxrsync.engine.turns import Turns
from cxrsync.engine.version import choose_version, destination
from cxrsync.errors import UsageError
from cxrsync.job import Job
from cxrsync.model import Emit, Kind, Notice, Started, TreeNotice
from cxrsync.source.base import Source
from cxrsync.store.layout import Tree
from cxrsync.store.surroundings import (
    Surroundings,
    ignore_rule,
    is_ignored,
    look_around,
    synced,
    work_tree,
)
from cxrsync.store.threads import in_thread
from cxrsync.store.tree_identity import claim


async def set_out(job: Job, source: Source, emit: Emit, stop: Stop) -> Run:
    """Decide on the version and the tree; prove that it can be written before anything is asked.

    Raises UsageError where it is not plain which folder is meant, where that is another's, or on a
    drive that syncs online.
    """
    version = await choose_version(job, source, emit)
    place = destination(job)
    found = place.find(job.dataset, version)
    tree = Tree(found.root)
    around = await in_thread(lambda: look_around(tree.root))
    if not job.allow_synced:
        refuse_synced(around)
    if notice := place.notice(found, job.dataset, version):
        emit(TreeNotice(notice))
    claim(tree, job.dataset, version)
    asked = job.limits.connections
    share, open_files = share_of(asked)
    job = replace(job, limits=replace(job.limits, connections=share.connections))
    emit(Started(job.dataset, version, str(tree.root), str(job.selection), job.limits.connections))
    if share.connections < asked:
        emit(Notice(_of_limit(open_files, share.connections, asked)))
    known = describe(job.dataset)
    if Kind.TABLES in job.selection.only and known.elsewhere:
        emit(Notice(known.elsewhere))  # people look here for tables that are not here
    if warning := await in_thread(lambda: _of_git(around)):
        emit(Notice(warning))
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    brake = Brake(job.limits.rate)
    turns = Turns(job.limits, emit)
    outage = Outage(job.limits.give_up_after, emit, turns)
    batch = share.batch_files
    return Run(job, source, emit, stop, tree, known, version, stamp, brake, turns, outage, batch)


def _of_limit(open_files: int, connections: int, asked: int) -> str:
    return (
        f"at most {open_files} files may be open at a time (ulimit -n): {connections} of {asked} "
        "connections are used"
    )


def refuse_synced(around: Surroundings) -> None:
    """Raise UsageError where what is written there would go online, with the reason."""
    if (found := synced(around)) is not None:
        raise UsageError(
            f"{around.place} would sync online with {found.client} ({found.sign}). The data use "
            "agreement forbids giving the data to third parties; and renames are not atomic on "
            "such a drive, so that a half file could bear a final name",
            next_step="Choose a --dest on a disk of your own or of your institution's. Where the "
            "agreement lets you, say --allow-synced.",
        )


def _of_git(around: Surroundings) -> str | None:
    """A warning that one ``git add`` would take the data in, or None where git ignores them."""
    top = work_tree(around)
    if top is None or is_ignored(around.place, top) is not False:
        return None
    return (
        f"{around.place} is in a git work tree that does not ignore it: `git add` could publish "
        f"the data. Put this line into {top / '.gitignore'}: {ignore_rule(around.place, top)}"
    )
