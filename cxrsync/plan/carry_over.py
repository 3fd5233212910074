"""What an older version has already: the same bytes need not come over the line again."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from cxrsync.config.job import Link
from cxrsync.dataset.context import RunContext
from cxrsync.dataset.local_manifest import open_local
from cxrsync.dataset.version import destination
from cxrsync.errors import CxrsyncError, UsageError
from cxrsync.events import Notice
from cxrsync.manifest.file import ManifestFile
from cxrsync.model import Entry
from cxrsync.plan.planner import Plan
from cxrsync.storage.atomic_write import COPY_SUFFIX
from cxrsync.storage.reflink import clone_link_or_copy
from cxrsync.storage.tree import Tree


def look_back(run: RunContext, plan: Plan) -> list[Tree]:
    """Find what need not be fetched, since an older version has it; the trees that do."""
    if not plan.to_fetch:
        return []
    found = find_older(run, plan.manifest)
    for older in found:
        with closing(older.manifest):
            take_over(plan, older)
    trees = [older.tree for older in found]
    plan.taking_takes_room = not clones(run, plan, trees)
    return trees


@dataclass(frozen=True, slots=True)
class Older:
    """The tree of an older version, and its manifest or as much of it as matters."""

    tree: Tree
    manifest: ManifestFile


def find_older(run: RunContext, manifest: ManifestFile) -> list[Older]:
    """The trees that may hold files of this version: the one that the job names, and those that
    lie beside the new one. Raises UsageError where the named one holds no version."""
    named = run.job.link_from
    place = destination(run.job)
    roots = []
    if named is not None:
        there = replace(place, path=named, option="--link-from")
        own = there.own_root()
        roots = there.trees(run.job.dataset) if own is None else [own.root]
    if named is not None and not roots:
        raise UsageError(
            f"--link-from {named} holds no version of {run.job.dataset}",
            next_step="Name a version's own folder, or the folder that holds the dataset.",
        )
    if place.own_root() is None:
        roots += place.trees(run.job.dataset)
    found = []
    for root in dict.fromkeys(roots):
        if root == run.tree.root:
            continue
        tree = Tree(root)
        keys = None if manifest.whole else manifest.keys
        try:
            found.append(Older(tree, open_local(tree, keys)))
        except CxrsyncError as problem:
            run.emit(Notice(f"{root} is of no use for the new version: {problem}"))
    return found


def take_over(plan: Plan, older: Older) -> None:
    """Move to ``plan.to_take`` what the older version's manifest lists with the same digest: under
    the same path, or, for what is left, under any."""
    for name in ("in_shards", "reports", "in_root"):
        offsets: array[int] = getattr(plan, name)
        left: array[int] = array("Q")
        there = _Cursor(older.manifest)
        for offset in offsets:
            entry = plan.manifest.entry_at(offset)
            same = there.seek(entry.path)
            if same is not None and same.sha256 == entry.sha256:
                plan.to_take.append(offset)
            else:
                left.append(offset)
        setattr(plan, name, left)
    _take_what_moved(plan, older)


def _take_what_moved(plan: Plan, older: Older) -> None:
    entry_at = plan.manifest.entry_at
    # The first 64 bits of each digest, sorted: eight bytes a file, whatever their number.
    keys = array(
        "Q",
        sorted(
            int(entry_at(offset).sha256[:16], 16)
            for offsets in (plan.in_shards, plan.reports, plan.in_root)
            for offset in offsets
        ),
    )
    if not keys:
        return
    moved: dict[str, str] = {}
    for _offset, entry in older.manifest.entries():
        key = int(entry.sha256[:16], 16)
        at = bisect_left(keys, key)
        if at < len(keys) and keys[at] == key:
            moved.setdefault(entry.sha256, entry.path)
    if not moved:
        return
    for name in ("in_shards", "reports", "in_root"):
        left: array[int] = array("Q")
        for offset in getattr(plan, name):
            path = moved.get(entry_at(offset).sha256)
            if path is None:
                left.append(offset)
            else:
                plan.to_take.append(offset)
                plan.elsewhere[offset] = path
        setattr(plan, name, left)


def clones(run: RunContext, plan: Plan, trees: list[Tree]) -> bool:
    """Whether what is taken over takes no room, by trying the first of it."""
    for offset in plan.to_take[:1]:
        entry = plan.manifest.entry_at(offset)
        path = plan.elsewhere.get(offset, entry.path)
        # By a name of this process's own: it may stand beside other people's trees.
        probe = _nearest(run.tree.own) / f".clone-{os.getpid()}{COPY_SUFFIX}"
        for tree in trees:
            with suppress(OSError):
                try:
                    return (
                        clone_link_or_copy(tree.final(path), probe, run.job.link) is not Link.COPY
                    )
                finally:
                    probe.unlink(missing_ok=True)
    return False


def _nearest(folder: Path) -> Path:
    """The folder, or the first above it that is there already."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


class _Cursor:
    """Walks an older manifest beside the new one."""

    def __init__(self, manifest: ManifestFile) -> None:
        self._entries = (entry for _offset, entry in manifest.entries())
        self._entry = next(self._entries, None)

    def seek(self, path: str) -> Entry | None:
        while self._entry is not None and self._entry.path < path:
            self._entry = next(self._entries, None)
        return self._entry if self._entry is not None and self._entry.path == path else None
