"""Move the trees of older versions to the trash of the newest one's tree.

The trash is ``.cxrsync/trash/<UTC>/<version>/`` of the tree that replaces them: it is on the same
file system, so that a move is one rename, and ``trash_keep`` of the mirror empties it by the date.
What lies in the trash of the older tree goes to the same place first, under its own date.

A tree is moved only if all of this holds; otherwise it stays, and a notice says why:

1. It lies beside the new tree, under the name of its version, and is marked as that version of the
   dataset.
2. No run works on it. All its locks are held during the move.
3. It was pulled with no other selection than the job's.
4. Every file in it is listed by one of its manifests, or recorded as verified, and has the bytes
   of that: nobody's own files, and nobody's changes, are among them.

A tree into which nothing was pulled, such as one that ``diff`` has begun, neither counts as a kept
version nor is moved. A version that was never complete does not count either.
"""

from __future__ import annotations

import heapq
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import groupby
from operator import attrgetter, itemgetter
from pathlib import Path
from time import time

from cxrsync.clock import Clock
from cxrsync.config.job import Job
from cxrsync.config.selection import Selection
from cxrsync.dataset.local_manifest import manifests_folder
from cxrsync.dataset.partition_states import partition_names, pulled_selections
from cxrsync.dataset.target import Target
from cxrsync.errors import CxrsyncError, Locked
from cxrsync.manifest.file import ManifestFile
from cxrsync.mirror.trees import is_begun, marked_versions, waiting_since
from cxrsync.model import MANIFEST_NAME, ROOT, Entry, FileRecord
from cxrsync.operations.run_log import active_runs, other_runs, run_stamp, run_times
from cxrsync.plan.newer_versions import surplus_versions
from cxrsync.plan.survey import matches_record
from cxrsync.sanitize import reason_of
from cxrsync.sorted_merge import left_join
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.filesystem import make_folders, sync_folders
from cxrsync.storage.lock import Lock
from cxrsync.storage.plain_table import is_plain_copy
from cxrsync.storage.state_db import State
from cxrsync.storage.trash import TRASH_FOLDER, TrashDates, empty_trash
from cxrsync.storage.tree import Tree

Tell = Callable[[str], None]
_LOCK_FOLDER = "lock"
_PATH = attrgetter("path")


class _Stays(Exception):
    """A tree is not to be moved; the text says why."""


def discard_old_versions(
    job: Job, present: Target, keep: int | None, tell: Tell, now: Clock = time
) -> None:
    """Move the trees of the versions that a mirror no longer keeps to the trash of ``present``.

    ``keep``: how many versions stay, the present one among them; None: all. ``present`` must be
    complete and verified. ``tell`` gets what was done, and why a tree stays. Of the versions that
    stay, the trash is emptied as the job says. Blocks: call it in a thread.
    """
    try:
        marked = marked_versions(job)
        begun = [version for version, tree in marked.items() if is_begun(tree)]
    except (CxrsyncError, OSError) as unknown:
        tell(f"no older version is moved to the trash: {reason_of(unknown)}")
        return
    # A version that no run found complete must not push one that is complete into the trash.
    complete = [each for each in begun if waiting_since(marked[each], now())[0]]
    surplus = [] if keep is None else surplus_versions(begun, complete, present.version, keep)
    for version in surplus:
        try:
            stamp = run_stamp(present.tree, now())
            place = _move(job, marked[version], present, version, stamp)
        except (_Stays, CxrsyncError) as stays:
            tell(f"version {version} is not moved to the trash: {stays}")
        except OSError as problem:
            tell(f"version {version} cannot be moved to the trash: {reason_of(problem)}")
        else:
            tell(f"version {version} is no longer kept: its tree is now {place}")
    kept = [marked[each] for each in marked if each not in surplus]
    # The other versions have no runs of their own any more.
    dates = TrashDates(now(), run_times(present.tree))
    _empty_trash(job, [each for each in kept if each.root != present.tree.root], dates)


def _move(job: Job, old: Tree, present: Target, version: str, stamp: str) -> Path:
    """Move one tree; return its new path. ``stamp``: the name of its folder in the trash. Raises:
    _Stays, CxrsyncError, OSError."""
    _check_place(old, version, present.tree)
    for named in (job.link_from, *job.origin.folders, job.selection.split_table or None):
        if named is not None and Path(os.path.realpath(named)).is_relative_to(old.root.resolve()):
            raise _Stays(f"the job names {named}")
    _check_selections(old, present.tree, job.selection)
    _check_files(old)
    with _locked(old):
        _check_alone(old)  # again: a run may have begun meanwhile, and lists no partition yet
        _pass_trash_on(old, present.tree)
        place = present.tree.own / TRASH_FOLDER / stamp / version
        make_folders(place.parent)  # for the owner only: a group that shares a tree reads no trash
        parent = old.root.parent
        os.rename(old.root, place)
        sync_folders([str(parent), str(place.parent)])
    for lock in place.glob(f".cxrsync/*/{_LOCK_FOLDER}"):  # ours: they were moved with the tree
        shutil.rmtree(lock, ignore_errors=True)
    return place


def _check_place(old: Tree, version: str, new: Tree) -> None:
    root = old.root
    if os.path.islink(root) or root.parent != new.root.parent or root.name != version:
        raise _Stays(f"{root} does not lie beside {new.root}")
    trash = new.own / TRASH_FOLDER
    if os.path.islink(trash) or os.lstat(root).st_dev != os.lstat(new.own).st_dev:
        raise _Stays(f"{root} and {trash} are not on one file system")
    _check_alone(old)


def _check_alone(old: Tree) -> None:
    if runs := other_runs(old):
        raise _Stays(f"another run works on {old.root} (process {runs[0]['pid']})")


def _check_selections(old: Tree, new: Tree, selection: Selection) -> None:
    """Raise _Stays if the older tree holds what a run other than the mirror's has selected."""
    pulled = pulled_selections(old)
    if selection.whole and any(each.whole for each in pulled):
        return
    others = set(pulled) - {selection} - set(pulled_selections(new))
    if others:
        raise _Stays(
            f"{old.root} was also pulled with another selection ({next(iter(others))}). Pull it in "
            "the new version, too, or move the tree away yourself"
        )


def _check_files(old: Tree) -> None:
    """Raise _Stays if the tree has files that are not the dataset's, or have other bytes."""
    with ExitStack() as stack:
        known: list[Iterator[Entry | FileRecord]] = [
            stack.enter_context(state).records()
            for name in partition_names(old)
            if (state := State.read(old.partition(name))) is not None
        ]
        manifests = [*manifests_folder(old).glob(f"*-{MANIFEST_NAME}")]
        if old.find(MANIFEST_NAME) is not None:
            manifests.append(old.manifest)
        known += [_entries(stack.enter_context(closing(ManifestFile(path)))) for path in manifests]
        by_path = (
            (path, list(each)) for path, each in groupby(heapq.merge(*known, key=_PATH), _PATH)
        )
        for path, found in left_join(old.files(), by_path, str, itemgetter(0)):
            if _is_harmless(path):
                continue
            if found is None and is_plain_copy(old, path):
                continue
            if found is None:
                what = "is not a file of the dataset"
            elif not _has_known_bytes(old, path, found[1]):
                what = "has not the bytes of the dataset's file"
            else:
                continue
            raise _Stays(
                f"{path} in {old.root} {what}. Move what is your own elsewhere, or move the tree "
                "away yourself"
            )


def _entries(manifest: ManifestFile) -> Iterator[Entry]:
    return (entry for _offset, entry in manifest.entries())


def _has_known_bytes(old: Tree, path: str, known: list[Entry | FileRecord]) -> bool:
    """Return whether a file is as it was recorded, by size and time, or has the bytes that a record
    or a manifest names. Raises OSError if it cannot be read."""
    found = old.find(path)
    if found is None:  # a link, which is nobody's of the dataset
        return False
    if any(isinstance(each, FileRecord) and matches_record(each, found) for each in known):
        return True
    return sha256_file(old.final(path)) in {each.sha256 for each in known}


def _is_harmless(path: str) -> bool:
    """Whether a file that no manifest lists is the manifest, or an index page that wget left."""
    return path == MANIFEST_NAME or path.rpartition("/")[2].startswith("index.html")


@contextmanager
def _locked(old: Tree) -> Iterator[None]:
    """Hold all locks of a tree. Raises: _Stays if another run has one."""
    names = sorted({ROOT, *partition_names(old)})
    folders = [manifests_folder(old), *(old.partition(name) for name in names)]
    with ExitStack() as stack:
        try:
            for folder in folders:
                stack.enter_context(Lock(folder))
        except Locked as locked:
            raise _Stays(str(locked)) from None
        yield


def _pass_trash_on(old: Tree, new: Tree) -> None:
    """Move the folders of the older tree's trash to the new tree's, under their own dates."""
    trash = old.own / TRASH_FOLDER
    if os.path.islink(trash) or not os.path.isdir(trash):
        return
    make_folders(new.own / TRASH_FOLDER)
    for folder in sorted(trash.iterdir()):
        target = new.own / TRASH_FOLDER / folder.name
        if not os.path.lexists(target):
            os.rename(folder, target)


def _empty_trash(job: Job, kept: Iterable[Tree], dates: TrashDates) -> None:
    """Empty the trash of the other versions that stay: no run of the mirror does it there."""
    if (seconds := job.refresh.trash_keep) is None:
        return
    for tree in kept:
        in_use = {str(each["run"]) for each in active_runs(tree)}
        empty_trash(tree, dates, seconds, in_use)
