"""The smaller copies that a run makes: their tree with its lock, and the worker processes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from cxrsync.dataset.copies import COPIED_SUFFIXES, copies_description, copies_root, copy_finder
from cxrsync.dataset.locking import acquire_lock, call_in_loop
from cxrsync.dataset.run_context import RunContext
from cxrsync.dataset.target import Target
from cxrsync.errors import UsageError
from cxrsync.model import Entry, Kind
from cxrsync.plan.copies import CopyOrder, order_of
from cxrsync.plan.planner import Copies
from cxrsync.storage.derivation_pool import DerivationPool
from cxrsync.storage.derived_tree import DerivedTree
from cxrsync.storage.filesystem import disk_failure
from cxrsync.storage.lock import Lock
from cxrsync.threads import run_in_thread


@dataclass(frozen=True, slots=True)
class Copying:
    """What a run makes copies with. ``thread``: the one that reads and writes their records."""

    order: CopyOrder
    pixels: int
    target: Target
    tree: DerivedTree
    lock: Lock
    pool: DerivationPool
    thread: ThreadPoolExecutor

    def is_image(self, path: str) -> bool:
        """Return whether a copy is made of this file. Raises UsageError for an image of a kind that
        cannot be scaled."""
        return is_scalable(self.target, path)

    def copies(self) -> Copies:
        """Return what the plan has to know. To be called, and used, in the thread of the plan."""
        in_order = self.tree.in_order()

        def has_own(entry: Entry) -> bool:
            return in_order(entry.path, entry.sha256)

        return Copies(self.order, copy_finder(self.target), self.is_image, has_own)


def is_scalable(target: Target, path: str) -> bool:
    """Return whether a file is an image of which a copy can be made. Raises UsageError for an image
    of another kind."""
    if target.dataset.kind_of(path) is not Kind.IMAGES:
        return False
    if not path.lower().endswith(COPIED_SUFFIXES):
        raise UsageError(
            f"the images of {target.name} are no JPEG or PNG files",
            next_step="Copies are made of those of MIMIC-CXR-JPG: --jpg.",
        )
    return True


def copies_planned(run: RunContext) -> Copies:
    """Return what a plan has to know that nobody carries out: no lock is taken, and a copy that is
    there counts as right."""
    pixels, target = run.job.resize, run.target
    root = str(copies_root(target, pixels or 0))
    return Copies(
        order_of(run.job, os.cpu_count() or 1),
        copy_finder(target),
        lambda path: pixels is not None and is_scalable(target, path),
        lambda entry: os.path.lexists(f"{root}/{entry.path}"),
    )


@asynccontextmanager
async def copying(run: RunContext) -> AsyncIterator[Copying | None]:
    """Lock and open the tree of copies, if the job makes any. At the end write its lists of
    digests, and end the workers.

    Raises: UsageError if something else is where the copies should be, or Pillow is missing;
    Locked, LockLost, DiskError.
    """
    pixels = run.job.resize
    if pixels is None:
        yield None
        return
    tree = DerivedTree(copies_root(run.target, pixels))
    description = copies_description(run.target, pixels)
    await _on_disk(tree, lambda: tree.describe(description))
    lost = call_in_loop(run.cancel.fail)
    lock = Lock(tree.own, describe=f"the copies in {tree.root}", on_loss=lost)
    try:
        await acquire_lock(lock, run.job.limits.wait_lock, run.emit)
        await _on_disk(tree, tree.open)
        with DerivationPool() as pool, ThreadPoolExecutor(1, thread_name_prefix="copies") as thread:
            order = order_of(run.job, pool.workers)
            yield Copying(order, pixels, run.target, tree, lock, pool, thread)
        await _on_disk(tree, lambda: _write_lists(tree, lock))
    finally:
        with suppress(sqlite3.Error):
            await run_in_thread(tree.close)
        await run_in_thread(lock.release)


def _write_lists(tree: DerivedTree, lock: Lock) -> None:
    lock.check()
    tree.write_lists()


async def _on_disk(tree: DerivedTree, call: Callable[[], None]) -> None:
    """Call in a thread what writes the tree. Raises DiskError, and whatever the call raises."""
    try:
        await run_in_thread(call)
    except (OSError, sqlite3.Error) as problem:
        raise disk_failure(problem, f"cannot write the copies in {tree.root}") from None
