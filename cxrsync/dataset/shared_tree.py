"""A tree that a group reads: who the group is, and the permissions of what is in the tree already.

``.cxrsync/permissions.json`` records the permissions that a tree has, and whether everything in it
has them. So a night on which nothing changed looks at no file's mode, and a pull by hand, or a
repair, gives its files the same permissions as the mirror. Like ``core.sharedRepository`` of git.
"""

from __future__ import annotations

import grp
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from cxrsync.config.permissions import GROUP_BITS, Permissions, parse_permissions
from cxrsync.dataset.local_manifest import PARTIAL, manifests_folder
from cxrsync.dataset.partition_states import partition_names
from cxrsync.errors import DiskError, UsageError
from cxrsync.model import MANIFEST_NAME
from cxrsync.storage.access import OWNER_ONLY, Access
from cxrsync.storage.atomic_write import write_file
from cxrsync.storage.filesystem import disk_failure, read_json
from cxrsync.storage.sidecar import sidecar_path
from cxrsync.storage.state_db import State
from cxrsync.storage.state_snapshot import STATE_NAME
from cxrsync.storage.tree import Tree

RECORD = "permissions.json"
_OWNER_WRITES = 0o200
# Folders of ours whose files readers need. All others are for the owner only.
_READ_FOLDERS = ("manifests", "runs", "progress")


@dataclass(frozen=True, slots=True)
class Group:
    """A group of this machine. ``members``: how many users it has, None if the system does not
    tell. ``is_ours``: whether this process may give files to it."""

    name: str
    gid: int
    members: int | None
    is_ours: bool


def find_group(name: str) -> Group:
    """Return the group of this name, or of this number. Raises UsageError if there is none."""
    try:
        found = grp.getgrgid(int(name)) if name.isascii() and name.isdigit() else grp.getgrnam(name)
    except (KeyError, OverflowError, ValueError):
        raise UsageError(
            f"--permissions: this machine has no group {name!r}",
            next_step=f"Create it (sudo groupadd {name}) and add its readers, or name another one: "
            "`getent group` lists them.",
        ) from None
    gid = found.gr_gid
    is_ours = os.geteuid() == 0 or gid in {os.getegid(), *os.getgroups()}
    return Group(found.gr_name, gid, len(found.gr_mem) or None, is_ours)


def access_of(permissions: Permissions | None) -> Access:
    """Return the permissions with the number of their group. Raises UsageError if there is no such
    group, or if this process cannot give files to it."""
    if permissions is None:
        return OWNER_ONLY
    gid = None
    if permissions.group is not None:
        group = find_group(permissions.group)
        if not group.is_ours:
            raise UsageError(
                f"--permissions: this user is no member of the group {group.name}, and cannot give "
                "files to it",
                next_step=f"Add the user who runs cxrsync: sudo usermod -aG {group.name} USER. It "
                "counts from the next login on.",
            )
        gid = group.gid
    return Access(permissions.files, permissions.folders, gid)


@dataclass(frozen=True, slots=True)
class Record:
    """The permissions of a tree. ``complete``: whether everything in it has them."""

    permissions: Permissions
    complete: bool


def read_record(tree: Tree) -> Record | None:
    """Return the permissions that were recorded in a tree; None if there are none."""
    try:
        raw = read_json(tree.own / RECORD)
        complete = raw.pop("complete") is True
        return Record(parse_permissions(raw), complete)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError):
        return None


def write_record(tree: Tree, record: Record) -> None:
    """Record the permissions of a tree. Raises DiskError."""
    content = json.dumps({**record.permissions.as_json(), "complete": record.complete}).encode()
    try:
        write_file(tree.own / RECORD, content, access=tree.access)
    except OSError as problem:
        raise disk_failure(problem, f"cannot write {tree.own / RECORD}") from None


def recorded_access(tree: Tree) -> tuple[Access, str]:
    """Return the access that a tree records, and a note for the user if it cannot be given here:
    then new files are for their owner only."""
    record = read_record(tree)
    if record is None:
        return OWNER_ONLY, ""
    try:
        return access_of(record.permissions), ""
    except UsageError as refused:
        return OWNER_ONLY, (
            f"{tree.root} is shared ({record.permissions}), but new files are for their owner only "
            f"now: {refused}. {refused.next_step}"
        )


def mark_outdated(tree: Tree) -> None:
    """Record that not everything in a tree has its permissions, if a run that used others ends: it
    began before they were changed, or could not give files to the group."""
    record = read_record(tree)
    if record is None or not record.complete:
        return
    with suppress(UsageError):
        wanted = access_of(record.permissions)
        if (wanted.files, wanted.gid) == (tree.access.files, tree.access.gid):
            return
    with suppress(DiskError):
        write_record(tree, replace(record, complete=False))


def lost_access(tree: Tree, asked: Access) -> str:
    """Return a sentence about permissions that the file system of a tree, which was created, cannot
    keep; "" if it keeps all of them."""
    if tree.access == asked:
        return ""
    if tree.access == OWNER_ONLY:
        return (
            f"the file system of {tree.root} does not keep group and mode of a file as asked, so "
            "nothing is shared: on FAT, NTFS, CIFS and FUSE the options of the mount (gid=, "
            "umask=, allow_other) decide who can read. In a systemd service: name them in "
            "the job, and print its unit anew"
        )
    return (
        f"the setgid bit of folders cannot be set in {tree.root}; the group of each file is set "
        "all the same"
    )


@dataclass(slots=True)
class Shared:
    """What :func:`share_existing` changed: numbers of files and folders; and how many files it left
    as they are, because they belong to another user or have hard links elsewhere."""

    files: int = 0
    folders: int = 0
    left: int = 0


def share_existing(
    tree: Tree, access: Access, dataset: str, cancelled: Callable[[], bool] = lambda: False
) -> Shared:
    """Give everything that readers need, and that is in the tree already, its permissions.

    That is: the folders of the tree, the files that the states record, the manifests, the
    snapshots, and the logs of runs. Any other file in the tree stays as it is: it is not ours.

    ``cancelled`` is asked for each file; then the work ends early. Raises OSError for errors of the
    disk.
    """
    work = _Work(access)
    for folder in _own_folders(tree, dataset):
        work.share(folder)
    for file in _own_files(tree):
        work.share(file)
    share_slices(tree, access)
    for path in _recorded(tree):
        if cancelled():
            return work.done
        work.share_recorded(tree, path)
    return work.done


def share_slices(tree: Tree, access: Access) -> None:
    """Let readers read the part of the manifest that was fetched, while no run works on it. Its
    owner goes on writing to it. Raises OSError."""
    if access == OWNER_ONLY:
        return
    partial = manifests_folder(tree) / PARTIAL
    own = Access(access.files | _OWNER_WRITES, access.folders, access.gid)
    for each in (partial, sidecar_path(partial)):
        try:
            own.set_on(each)
        except FileNotFoundError:
            continue


class _Work:
    """Sets permissions and counts."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._folder: list[str] = []
        self.done = Shared()

    def share(self, path: str | Path) -> None:
        """Give a file or folder its permissions, if it has others."""
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return
        is_folder = stat.S_ISDIR(found.st_mode)
        if not is_folder and not stat.S_ISREG(found.st_mode):
            return
        try:
            is_set = self._access.set_on(path)
        except PermissionError:
            is_set = False
        after = os.lstat(path)
        if not is_set:
            self.done.left += not is_folder
        elif (found.st_mode, found.st_gid) != (after.st_mode, after.st_gid):
            self.done.folders += is_folder
            self.done.files += not is_folder

    def share_recorded(self, tree: Tree, path: str) -> None:
        """Like :meth:`share`, for a file of the dataset and the folders above it. Paths come in
        order, so each folder is looked at once."""
        try:
            tree.check_parent(path)
        except OSError:
            return  # a link, or nothing: the file is not in this tree
        names = path.split("/")[:-1]
        if names != self._folder:
            for depth in range(1, len(names) + 1):
                if names[:depth] != self._folder[:depth]:
                    self.share(tree.final("/".join(names[:depth])))
            self._folder = names
        self.share(tree.final(path))


def _own_folders(tree: Tree, dataset: str) -> Iterator[Path]:
    """Yield the folders of the tree itself: those of its name, and those of ours with what readers
    need."""
    if tree.root.parent.name == dataset:
        yield tree.root.parent
    yield tree.root
    yield tree.own
    for name in (*_READ_FOLDERS, *partition_names(tree)):
        yield tree.own / name


def _own_files(tree: Tree) -> Iterator[Path]:
    yield tree.root / MANIFEST_NAME
    yield tree.own / "tree.json"
    for name in partition_names(tree):
        yield tree.partition(name) / STATE_NAME
    for folder in _READ_FOLDERS:
        try:
            names = sorted(os.listdir(tree.own / folder))
        except OSError:
            continue
        yield from (
            tree.own / folder / name
            for name in names
            if name.endswith((".json", MANIFEST_NAME)) and not name.startswith(PARTIAL)
        )


def _recorded(tree: Tree) -> Iterator[str]:
    for name in partition_names(tree):
        state = State.read(tree.partition(name))
        if state is not None:
            with state:
                for record in state.records():
                    if record.copy is None:
                        yield record.path


def closed_folders(root: Path, permissions: Permissions, gid: int) -> list[Path]:
    """Return the folders above a tree that the group cannot enter, as far as their modes tell. An
    ACL may let it in: such folders are not named."""
    if not permissions.files & GROUP_BITS:
        return []
    closed = []
    for folder in root.parents:
        found = os.stat(folder)
        enters = found.st_mode & (stat.S_IXGRP if found.st_gid == gid else stat.S_IXOTH)
        if not enters and not _has_acl(folder):
            closed.append(folder)
    return closed


def _has_acl(folder: Path) -> bool:
    if sys.platform != "linux":
        return False  # macOS has no listxattr
    try:
        return "system.posix_acl_access" in os.listxattr(folder)
    except OSError:
        return False
