"""Find files of an older version on this disk that can be reused instead of fetched."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from cxrsync.config.job import Link
from cxrsync.dataset.local_manifest import open_local
from cxrsync.dataset.run_context import RunContext
from cxrsync.dataset.version import destination
from cxrsync.errors import CxrsyncError, UsageError
from cxrsync.events import Notice
from cxrsync.manifest.file import ManifestFile
from cxrsync.model import Entry
from cxrsync.plan.planner import Plan
from cxrsync.sorted_merge import left_join
from cxrsync.storage.atomic_write import COPY_SUFFIX
from cxrsync.storage.reflink import clone_link_or_copy
from cxrsync.storage.tree import Tree

_TO_FETCH = ("in_shards", "reports", "in_root")


def find_reusable(run: RunContext, plan: Plan) -> Plan:
    """Return the plan with those files as ``reusable`` that older versions hold.

    Raises: UsageError if ``--link-from`` names a folder that holds no version.
    """
    if not plan.to_fetch:
        return plan
    keys = None if plan.manifest.whole else plan.manifest.keys
    trees = []
    for tree in older_trees(run):
        try:
            manifest = open_local(tree, keys)
        except CxrsyncError as problem:
            run.emit(Notice(f"nothing can be reused from {tree.root}: {problem}"))
            continue
        with closing(manifest):
            plan = reuse_moved(reuse_same_path(plan, manifest), manifest)
        trees.append(tree)
    plan = replace(plan, older=tuple(trees))
    return replace(plan, copies_take_space=not reuse_takes_no_space(run, plan))


def older_trees(run: RunContext) -> list[Tree]:
    """Return the trees that may hold files of this version.

    First those in the folder that ``--link-from`` names, then the other versions in the
    destination.

    Raises: UsageError if the named folder holds no version.
    """
    named = run.job.link_from
    slug = run.target.dataset.slug
    location = destination(run.job)
    roots = []
    if named is not None:
        link_from = replace(location, path=named, option="--link-from")
        own = link_from.version_root()
        roots = link_from.trees(slug) if own is None else [own.root]
    if named is not None and not roots:
        link_from.refuse_forbidden(slug)
        raise UsageError(
            f"--link-from {named} holds no version of {slug}",
            next_step="Name the folder of a version, or the folder that holds the dataset.",
        )
    if location.version_root() is None:
        roots += location.trees(slug)
    return [Tree(root) for root in dict.fromkeys(roots) if root != run.target.tree.root]


def reuse_same_path(plan: Plan, older: ManifestFile) -> Plan:
    """Return the plan with those files as ``reusable`` that an older manifest lists under the same
    path and with the same digest."""
    reusable = array("Q", plan.reusable)
    lists: dict[str, Any] = {}
    for name in _TO_FETCH:
        remaining = lists[name] = array("Q")
        if not getattr(plan, name):
            continue
        joined = left_join(_with_entries(plan, name), older.entries(), _path, _path)
        for (offset, entry), other in joined:
            is_same = other is not None and other[1].sha256 == entry.sha256
            (reusable if is_same else remaining).append(offset)
    return replace(plan, **lists, reusable=reusable)


def reuse_moved(plan: Plan, older: ManifestFile) -> Plan:
    """Return the plan with those files as ``reusable`` whose digest an older manifest lists under
    any path."""
    # The first 64 bits of each digest, sorted: this takes only eight bytes a file.
    keys = array(
        "Q",
        sorted(_key(entry) for name in _TO_FETCH for _offset, entry in _with_entries(plan, name)),
    )
    paths: dict[str, str] = {}
    for _offset, entry in older.entries() if keys else ():
        index = bisect_left(keys, _key(entry))
        if index < len(keys) and keys[index] == _key(entry):
            paths.setdefault(entry.sha256, entry.path)
    if not paths:
        return plan
    reusable, moved = array("Q", plan.reusable), dict(plan.moved)
    lists: dict[str, Any] = {}
    for name in _TO_FETCH:
        remaining = lists[name] = array("Q")
        for offset, entry in _with_entries(plan, name):
            path = paths.get(entry.sha256)
            if path is None:
                remaining.append(offset)
            else:
                reusable.append(offset)
                moved[offset] = path
    return replace(plan, **lists, reusable=reusable, moved=moved)


def _with_entries(plan: Plan, name: str) -> Iterator[tuple[int, Entry]]:
    offsets: array[int] = getattr(plan, name)
    return zip(offsets, plan.manifest.entries_at(offsets), strict=True)


def _path(item: tuple[int, Entry]) -> str:
    return item[1].path


def _key(entry: Entry) -> int:
    return int(entry.sha256[:16], 16)


def reuse_takes_no_space(run: RunContext, plan: Plan) -> bool:
    """Return whether reused files take no space on this disk. Tries to clone or link the first."""
    own = run.target.tree.own
    for _entry, path in islice(plan.entries_to_reuse(), 1):
        # The name contains the process id: the folder may be shared with other users.
        probe = _nearest_existing(own) / f".clone-{os.getpid()}{COPY_SUFFIX}"
        for tree in plan.older:
            with suppress(OSError):
                try:
                    method = clone_link_or_copy(tree.final(path), probe, run.job.link)
                    return method is not Link.COPY
                finally:
                    probe.unlink(missing_ok=True)
    return False


def _nearest_existing(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    while not os.path.isdir(folder) and folder != folder.parent:
        folder = folder.parent
    return folder
