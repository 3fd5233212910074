"""Move the smaller copies of files that left the manifest to the trash.

What PhysioNet withdraws shows more of a patient than it should, and so does a copy of it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Collection, Iterable
from contextlib import closing
from pathlib import Path

from cxrsync.dataset.copies import copies_roots
from cxrsync.dataset.locking import acquire_lock
from cxrsync.dataset.run_context import RunContext
from cxrsync.plan.deletions import Withdrawn
from cxrsync.storage.derived_tree import DerivedTree
from cxrsync.storage.filesystem import disk_failure, make_folders
from cxrsync.storage.lock import Lock
from cxrsync.threads import run_in_thread


def has_copies(roots: Iterable[Path], path: str) -> bool:
    """Return whether a tree of copies has one of this path."""
    return any(os.path.lexists(f"{root}/{path}") for root in roots)


async def delete_copies(run: RunContext, withdrawn: Collection[Withdrawn], trash: Path) -> int:
    """Move the copies of these files into ``trash``, if they were made of what earlier manifests
    list: each tree of copies into a folder of its own. Return how many were moved.

    Raises: Locked, LockLost, DiskError.
    """
    moved = 0
    for root in await run_in_thread(lambda: copies_roots(run.target)):
        concerned = [each for each in withdrawn if has_copies([root], each.path)]
        if not concerned:
            continue
        tree = DerivedTree(root)
        lock = Lock(tree.own, describe=f"the copies in {root}")
        try:
            await acquire_lock(lock, run.job.limits.wait_lock, run.emit)
            moved += await run_in_thread(lambda: _move(tree, lock, concerned, trash))  # noqa: B023
        except (OSError, sqlite3.Error) as problem:
            raise disk_failure(problem, f"cannot move copies in {root}") from None
        finally:
            await run_in_thread(lock.release)
    return moved


def _move(tree: DerivedTree, lock: Lock, withdrawn: list[Withdrawn], trash: Path) -> int:
    """Move copies to the trash, and write the lists of their tree anew. Raises LockLost, DiskError,
    OSError, sqlite3.Error."""
    folder = trash / f"copies-{tree.pixels}"
    moved = 0
    with closing(tree):
        tree.open()
        for each in withdrawn:
            if tree.source_of(each.path) not in each.digests:
                continue  # of a file that this dataset did not have
            lock.check()
            target = folder / each.path
            make_folders(target.parent)
            shutil.move(tree.root / each.path, target)  # perhaps to another disk
            tree.forget(each.path)
            moved += 1
        tree.write_lists()
    return moved
