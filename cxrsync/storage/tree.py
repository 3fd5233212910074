"""The tree of one version on the disk. Its paths cannot lead out of it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cxrsync.errors import RefusedForSafety, UsageError
from cxrsync.model import MANIFEST_NAME, OWN_FOLDER, ROOT, FileStat, NameRules
from cxrsync.storage.access import OWNER_ONLY, Access, possible_access
from cxrsync.storage.filesystem import (
    FILE_MODE,
    FOLDER_MODE,
    FolderInTheWay,
    NotAFolder,
    UnexpectedFile,
    disk_failure,
    file_stat,
    is_on_other_mount,
    make_folders,
    other_mount_error,
    probe_name_rules,
    sync_folders,
)
from cxrsync.storage.layout import PARTIAL_FOLDER

_MAX_SAFE_FOLDERS = 4096
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class _Created:
    """A folder, or a file with ``content``, that this run created; ``inode``: device and inode."""

    path: Path
    inode: tuple[int, int]
    content: bytes | None = None

    def remove(self) -> None:
        """Remove it. Raises OSError if it is not the one that was created, or not empty."""
        found = os.lstat(self.path)
        if (found.st_dev, found.st_ino) != self.inode:
            raise UnexpectedFile(errno.ESTALE, "not the one that was created", str(self.path))
        if self.content is None:
            os.rmdir(self.path)  # fails if anything is in it
        else:
            os.unlink(self.path)

    def create_again(self) -> None:
        """Create the file again, unless another run has."""
        if self.content is not None:
            with open(os.open(self.path, _NEW_FILE, FILE_MODE), "wb") as file:
                file.write(self.content)


class Tree:
    """One version's tree on a local disk."""

    def __init__(self, root: Path, access: Access = OWNER_ONLY) -> None:
        self.root = root
        self.access = access
        """Who may read what runs create here; less than was asked for, if the disk cannot keep
        it (known once the tree is created)."""
        self.own = root / OWN_FOLDER
        self.unshared = 0
        """How many files of the dataset this run could not share."""
        self._counting = threading.Lock()
        self.names = NameRules()
        """Which different names are one name to the disk; known once the tree is created."""
        self._created: list[_Created] = []
        self.is_given_up = False
        """Whether no manifest ever came, so that what this run created is not needed."""
        self._prefix = str(root) + "/"
        self._partials: dict[str, Path] = {}
        self._safe_folders: set[str] = set()  # checked recently: files come in order

    def final(self, path: str) -> str:
        """Return the final name of the file at ``path``, which the manifest's parser accepted."""
        return self._prefix + path

    def partition(self, name: str) -> Path:
        """Return the folder of a partition's state, lock and partials."""
        return self.own / name

    def partials(self, partition: str) -> Path:
        """Return the folder of a partition's partials."""
        if partition not in self._partials:
            self._partials[partition] = self.own / partition / PARTIAL_FOLDER
        return self._partials[partition]

    @property
    def manifest(self) -> Path:
        """The path of the version's manifest, which has the same name at the source."""
        return self.root / MANIFEST_NAME

    def find(self, path: str) -> FileStat | None:
        """Return size and mtime of the regular file under a final name; None if there is none, or
        if that cannot be found out.

        A symbolic link is not followed: it is not a file of ours.
        """
        try:
            return self.examine(path)
        except OSError:
            return None

    def examine(self, path: str) -> FileStat | None:
        """Like :meth:`find`, but raise OSError where that cannot be found out, or where a folder
        has the name."""
        try:
            found = os.lstat(self._prefix + path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISREG(found.st_mode):
            return file_stat(found)
        if stat.S_ISDIR(found.st_mode):
            raise FolderInTheWay(errno.EISDIR, "a folder is where the file should be", path)
        return None

    def examine_all(self, paths: Iterable[str]) -> list[os.stat_result]:
        """Return what the disk says about each of many final names, up to the first one that there
        is nothing under, or that it cannot be said of."""
        found: list[os.stat_result] = []
        with contextlib.suppress(OSError):
            root = os.open(self._prefix, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                found += map(partial(os.lstat, dir_fd=root), paths)  # keeps what comes before
            finally:
                os.close(root)
        return found

    def files(self, below: str = "") -> Iterator[str]:
        """Yield the paths of the files in the tree, or in one folder of it, in byte order; without
        our own folder.

        Links are listed, not followed. Folders that cannot be read are skipped.
        """
        try:
            with os.scandir(self._prefix + below) as found:
                # A folder sorts as its name with the slash that follows it in every path.
                names = sorted(
                    each.name + "/" if each.is_dir(follow_symlinks=False) else each.name
                    for each in found
                )
        except OSError:
            return
        for name in names:
            path = f"{below}/{name}" if below else name
            if not name.endswith("/"):
                yield path
            elif path != f"{OWN_FOLDER}/":
                yield from self.files(path[:-1])

    def has_folder(self, folder: str) -> bool:
        """Return whether there is such a folder below the root."""
        return os.path.isdir(self._prefix + folder)

    def create(self, *, must_exist: bool = False) -> None:
        """Create the root and our folder, and prove that they can be written to.

        ``must_exist``: both are there already, unless the disk was unmounted; nothing is created.

        Raises UsageError if the destination is not a folder, or if our folder is a link or holds
        one; RefusedForSafety if it must exist and does not; DiskError if it cannot be written to.
        """
        self.check_folder(OWN_FOLDER)
        if must_exist and not os.path.isdir(self.own):
            raise RefusedForSafety(
                f"{self.own} does not exist any more: nothing was created",
                next_step="Is the disk mounted? Bring it back, and run the same command again.",
            )
        is_new = not os.path.lexists(self.root)
        try:
            new = [] if must_exist else self._make_marker()
            for folder in new:
                with contextlib.suppress(PermissionError):  # a folder that may be written, not read
                    sync_folders([str(folder.parent)])
            for each in (*self.own.iterdir(), *self.own.glob(f"*/{PARTIAL_FOLDER}")):
                if os.path.islink(each):
                    raise _not_a_folder(str(each))
            for each in (self.own, *self.own.iterdir(), *self.own.glob(f"*/{PARTIAL_FOLDER}")):
                if os.path.isdir(each) and is_on_other_mount(each, self.root):
                    raise other_mount_error(str(each), str(self.root))
            self.names = probe_name_rules(self.own)
            if self.access != OWNER_ONLY:
                self.access = possible_access(self.own, self.access) or OWNER_ONLY
            self._share_all(new)
        except (NotADirectoryError, FileExistsError) as problem:
            raise UsageError(
                f"cannot use {self.root} as a destination: {problem.filename} is not a folder",
                next_step="Choose another --dest.",
            ) from None
        except OSError as problem:
            doing = f"cannot write to {self.root}"
            raise disk_failure(problem, doing, has_downloads=not is_new) from None

    def make_own_folder(self, folder: Path) -> list[Path]:
        """Create a folder of ours and its parents, for all who may read the tree. Return the new
        ones. They are remembered as created by this run."""
        new = self._make_own_folder(folder)
        self._share_all(new)
        return new

    def _make_marker(self) -> list[Path]:
        new = self._make_own_folder(self.root)
        if os.path.isdir(self.own):
            return new
        try:
            os.mkdir(self.own, FOLDER_MODE)
        except FileExistsError:
            if not os.path.isdir(self.own):
                raise
            return new
        self._created.append(_Created(self.own, _inode(self.own)))
        return [*new, self.own]

    def _make_own_folder(self, folder: Path) -> list[Path]:
        new = make_folders(folder)
        self._created += [_Created(each, _inode(each)) for each in new]
        return new

    def _share_all(self, folders: list[Path]) -> None:
        for each in folders:
            self.share(each)

    def share(self, path: str | Path) -> None:
        """Let all who may read the tree read a file or folder of ours: one that this run made, or
        one that readers need. Never a lock, a partial or a working copy. Raises OSError."""
        if self.access != OWNER_ONLY:
            self.access.set_on(path)

    def share_file(self, file: int) -> None:
        """Let all who may read the tree read an open, verified file of the dataset. One that is not
        ours alone stays as it is, and is counted. Raises OSError."""
        if self.access != OWNER_ONLY and not self.access.set_on_file(file):
            with self._counting:
                self.unshared += 1

    def remember_created_file(self, path: Path, content: bytes) -> None:
        """Remember a file of ours as created by this run."""
        self._created.append(_Created(path, _inode(path), content))

    def remove_created(self) -> None:
        """Remove what this run created in a tree for which no manifest ever came. If anything else
        is there by now, another run needs the rest, which stays."""
        self.is_given_up = True
        removed: list[_Created] = []
        try:
            while self._created:
                self._created[-1].remove()
                removed.append(self._created.pop())
        except OSError:
            with contextlib.suppress(OSError):  # the folder is gone, or another run created it
                for each in removed[-1:]:
                    each.create_again()

    def check_folder(self, folder: str) -> None:
        """Raise UsageError if a link, which could lead out of the tree, or a file has the name of a
        folder of the tree."""
        where = self.final(folder)
        if os.path.islink(where) or (os.path.lexists(where) and not os.path.isdir(where)):
            raise _not_a_folder(where)

    def check_mount(self, partition: str) -> None:
        """Raise DiskError if no finished file could be moved into the folder of a partition."""
        if partition == ROOT:
            return  # our own folder is there, too
        for folder in ("files", f"files/{partition}"):
            where = self.root / folder
            if os.path.isdir(where) and is_on_other_mount(self.root, where):
                raise other_mount_error(str(where), str(self.own))

    def make_parent(self, path: str) -> set[str]:
        """Create the folder of the file at ``path``.

        Returns the folders whose lists of names change: the file's folder, and the parents of new
        folders. Raises OSError if one of them is a symbolic link, which could lead out of the tree.
        Folders of the trash are for the owner only.
        """
        changed = {os.path.dirname(self.final(path))}
        for above, where in self._unknown_folders(path):
            try:
                os.mkdir(where, FOLDER_MODE)
                if not path.startswith(f"{OWN_FOLDER}/"):
                    self.share(where)
                changed.add(above)
            except FileExistsError:
                _check_is_folder(where)
            self._safe_folders.add(where)
        return changed

    def check_parent(self, path: str) -> None:
        """Raise OSError if a path leads through a link, or through anything but a folder: the file
        would not be in this tree."""
        for _above, where in self._unknown_folders(path):
            _check_is_folder(where)
            self._safe_folders.add(where)

    def _unknown_folders(self, path: str) -> Iterator[tuple[str, str]]:
        """Yield the folders above a file that were not checked recently, each after its parent."""
        if os.path.dirname(self.final(path)) in self._safe_folders:
            return
        if len(self._safe_folders) > _MAX_SAFE_FOLDERS:
            self._safe_folders.clear()
        where = str(self.root)
        for name in path.split("/")[:-1]:
            above, where = where, f"{where}/{name}"
            if where not in self._safe_folders:
                yield above, where


def _check_is_folder(where: str) -> None:
    if not stat.S_ISDIR(os.lstat(where).st_mode):
        raise NotAFolder(errno.ENOTDIR, "a link or a file where a folder should be", where)


def _not_a_folder(where: str) -> UsageError:
    return UsageError(
        f"{where} is a link or a file where a folder of the tree should be",
        next_step="Files are written to real folders below one root only, on one file system: "
        "name the folder that holds the whole version with --dest.",
    )


def _inode(path: Path) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino
