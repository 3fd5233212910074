"""Give what is in a tree already the permissions that its job, or the tree itself, asks for."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cxrsync import humanize
from cxrsync.config.permissions import Permissions
from cxrsync.dataset.run_context import RunContext
from cxrsync.dataset.shared_tree import (
    Record,
    Shared,
    closed_folders,
    read_record,
    share_existing,
    write_record,
)
from cxrsync.events import Notice
from cxrsync.model import MANIFEST_NAME
from cxrsync.threads import run_in_cancellable_thread, run_in_thread


async def share_tree(run: RunContext) -> None:
    """Set the permissions of everything in the tree, unless its record says that this was done.

    A run that is stopped meanwhile leaves the rest to the next one. Raises: DiskError, OSError.
    """
    tree, asked = run.target.tree, run.job.permissions
    record = await run_in_thread(lambda: read_record(tree))
    wanted = asked or (None if record is None else record.permissions)
    if wanted is None or tree.access.files != wanted.files:
        return  # the second: neither this disk nor this user can give them
    if record != Record(wanted, complete=True):
        await _share_existing(run, wanted)
    if closed := await run_in_thread(lambda: closed_above(tree.root, wanted, tree.access.gid)):
        run.emit(Notice(closed))


async def _share_existing(run: RunContext, wanted: Permissions) -> None:
    tree = run.target.tree
    was_there = await run_in_thread(lambda: os.path.lexists(tree.final(MANIFEST_NAME)))
    await run_in_thread(lambda: write_record(tree, Record(wanted, complete=False)))
    done = await run_in_cancellable_thread(
        lambda unwanted: share_existing(tree, tree.access, run.job.dataset, unwanted.is_set)
    )
    await run_in_thread(lambda: write_record(tree, Record(wanted, complete=True)))
    if not (was_there or done.files):
        # Of a new tree: a folder of this run, which another thread was just making.
        done = replace(done, folders=0)
    for text in _in_words(done, wanted):
        run.emit(Notice(text))


def _in_words(done: Shared, wanted: Permissions) -> Iterator[str]:
    if done.files or done.folders:
        yield (
            f"{humanize.files(done.files)} and {done.folders:,} folders that were there have the "
            f"permissions of this tree now: {wanted}"
        )
    if done.left:
        yield _left_as_they_are(done.left)


def report_unshared(run: RunContext) -> None:
    """Say how many files of this run could not get the permissions of the tree."""
    if count := run.target.tree.unshared:
        run.emit(Notice(_left_as_they_are(count)))


def _left_as_they_are(count: int) -> str:
    return (
        f"{humanize.files(count)} keep their own permissions: they belong to another user or have "
        "hard links elsewhere. If the group cannot read them, their owner should run chgrp and "
        "chmod"
    )


def closed_above(root: Path, permissions: Permissions, gid: int | None) -> str:
    """Return a warning about folders above a tree that its group cannot enter; "" if it can."""
    if gid is None or not (closed := closed_folders(root, permissions, gid)):
        return ""
    name, paths = permissions.group, [str(folder) for folder in reversed(closed)]
    return (
        f"the group {name} cannot read the tree: it cannot enter {', '.join(paths)} above it. Run: "
        f"setfacl -m g:{name}:x {shlex.join(paths)}"
    )
