"""The tree of one version on the disk: paths that cannot lead out of it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cxrsync.errors import DiskError, UsageError
from cxrsync.model import MANIFEST_NAME, ROOT, FileStat, NameRules
from cxrsync.sanitize import reason_of
from cxrsync.storage.filesystem import (
    FILE_MODE,
    FOLDER_MODE,
    FolderInTheWay,
    NotAFolder,
    UnexpectedFile,
    file_stat,
    is_on_other_mount,
    make_folders,
    other_mount_error,
    probe_name_rules,
    sync_folders,
)
from cxrsync.storage.layout import OWN_FOLDER, PARTIAL_FOLDER

_MAX_SAFE_FOLDERS = 4096
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class _Made:
    """A folder, or a file with its ``content``, that this run has made, and its inode."""

    path: Path
    inode: tuple[int, int]
    content: bytes | None = None

    def take_back(self) -> None:
        """Remove it, if it is still as it was made. Raises OSError where it is not."""
        found = os.lstat(self.path)
        if (found.st_dev, found.st_ino) != self.inode:
            raise UnexpectedFile(errno.ESTALE, "not the one that was made", str(self.path))
        if self.content is None:
            os.rmdir(self.path)  # which fails where anything is in it
        else:
            os.unlink(self.path)

    def put_back(self) -> None:
        """Make the file anew, unless somebody has."""
        if self.content is not None:
            with open(os.open(self.path, _NEW_FILE, FILE_MODE), "wb") as file:
                file.write(self.content)


class Tree:
    """One version's root on a local disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.own = root / OWN_FOLDER
        self.names = NameRules()
        """Which names are one to the disk; known once the tree is created."""
        self._made: list[_Made] = []
        self._prefix = str(root) + "/"
        self._partials: dict[str, Path] = {}
        self._safe_folders: set[str] = set()  # of late: files come in order

    def final(self, path: str) -> str:
        """The final name of the file at ``path``, which the manifest's parser let through."""
        return self._prefix + path

    def partition(self, name: str) -> Path:
        """The folder of a partition's state, lock and partials."""
        return self.own / name

    def partials(self, partition: str) -> Path:
        """The folder of a partition's partials."""
        if partition not in self._partials:
            self._partials[partition] = self.own / partition / PARTIAL_FOLDER
        return self._partials[partition]

    @property
    def manifest(self) -> Path:
        """The manifest of the version, under the name that it has at the source."""
        return self.root / MANIFEST_NAME

    def find(self, path: str) -> FileStat | None:
        """Size and mtime of the regular file under a final name; None if there is none.

        A symbolic link is no file of ours: it is not followed. Nor is there one where it cannot be
        told.
        """
        try:
            return self.examine(path)
        except OSError:
            return None

    def examine(self, path: str) -> FileStat | None:
        """As :meth:`find`; raises OSError where it cannot be told, or where a folder is in the
        way."""
        try:
            found = os.lstat(self._prefix + path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISDIR(found.st_mode):
            raise FolderInTheWay(errno.EISDIR, "a folder is where the file should be", path)
        return file_stat(found) if stat.S_ISREG(found.st_mode) else None

    def files(self, below: str = "") -> Iterator[str]:
        """The paths of the files in the tree, or in one folder of it, in byte order; ours left out.

        Links are told, not followed. What cannot be read is passed over.
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
        """Whether there is such a folder below the root."""
        return os.path.isdir(self._prefix + folder)

    def create(self) -> None:
        """Make the root and our folder, and prove that they can be written.

        Raises UsageError where the destination is not a folder, or our folder is a link or holds
        one, DiskError where it is not ours to write.
        """
        self.check_folder(OWN_FOLDER)
        try:
            for folder in self.make_own_folder(self.own):
                with contextlib.suppress(PermissionError):  # one that may be written, not read
                    sync_folders([str(folder.parent)])
            for each in (*self.own.iterdir(), *self.own.glob(f"*/{PARTIAL_FOLDER}")):
                if each.is_symlink():
                    raise _out_of_the_tree(str(each))
            for each in (self.own, *self.own.iterdir(), *self.own.glob(f"*/{PARTIAL_FOLDER}")):
                if each.is_dir() and is_on_other_mount(each, self.root):
                    raise other_mount_error(str(each), str(self.root))
            self.names = probe_name_rules(self.own)
        except (NotADirectoryError, FileExistsError) as problem:
            raise UsageError(
                f"cannot use {self.root} as a destination: {problem.filename} is not a folder",
                next_step="Choose another --dest.",
            ) from None
        except OSError as problem:
            raise DiskError(
                f"cannot write to {self.root}: {reason_of(problem)}",
                next_step="Choose a --dest that you may write to and that has room.",
            ) from None

    def make_own_folder(self, folder: Path) -> list[Path]:
        """Make a folder of ours, and those above it; the new ones. They are remembered as made by
        this run."""
        new = make_folders(folder)
        self._made += [_Made(each, _inode(each)) for each in new]
        return new

    def remember_created_file(self, path: Path, content: bytes) -> None:
        """Remember a file of ours as made by this run."""
        self._made.append(_Made(path, _inode(path), content))

    def remove_created(self) -> None:
        """Take back what this run has made of a tree that was begun for nothing: no manifest ever
        came. Where anything else is there by now, somebody needs the rest."""
        taken: list[_Made] = []
        try:
            while self._made:
                self._made[-1].take_back()
                taken.append(self._made.pop())
        except OSError:
            with contextlib.suppress(OSError):  # the folder is gone, or another run has made it
                for each in taken[-1:]:
                    each.put_back()

    def check_folder(self, folder: str) -> None:
        """Refuse what cannot be a folder of the tree: a link could lead out of it, a file is in
        the way. Raises UsageError."""
        where = self.final(folder)
        if os.path.islink(where) or (os.path.lexists(where) and not os.path.isdir(where)):
            raise _out_of_the_tree(where)

    def check_mount(self, partition: str) -> None:
        """Refuse (DiskError) a partition into whose folder no finished file could be moved."""
        if partition == ROOT:
            return  # where our own folder is
        for folder in ("files", f"files/{partition}"):
            where = self.root / folder
            if where.is_dir() and is_on_other_mount(self.root, where):
                raise other_mount_error(str(where), str(self.own))

    def make_parent(self, path: str) -> set[str]:
        """Make the folder that the file at ``path`` lies in.

        Returns the folders whose list of names changes with that: the one of the file, and those
        of new folders. Refuses (OSError) a symbolic link on the way, which could lead out.
        """
        changed = {os.path.dirname(self.final(path))}
        for above, where in self._unknown_folders(path):
            try:
                os.mkdir(where, FOLDER_MODE)
                changed.add(above)
            except FileExistsError:
                _refuse_no_folder(where)
            self._safe_folders.add(where)
        return changed

    def check_parent(self, path: str) -> None:
        """Refuse (OSError) a path that leads through a link or through anything but a folder: what
        lies there is not of this tree."""
        for _above, where in self._unknown_folders(path):
            _refuse_no_folder(where)
            self._safe_folders.add(where)

    def _unknown_folders(self, path: str) -> Iterator[tuple[str, str]]:
        """The folders on the way to a file that were not looked at of late, with the one above."""
        if os.path.dirname(self.final(path)) in self._safe_folders:
            return
        if len(self._safe_folders) > _MAX_SAFE_FOLDERS:
            self._safe_folders.clear()
        where = str(self.root)
        for name in path.split("/")[:-1]:
            above, where = where, f"{where}/{name}"
            if where not in self._safe_folders:
                yield above, where


def _refuse_no_folder(where: str) -> None:
    if not stat.S_ISDIR(os.lstat(where).st_mode):
        raise NotAFolder(errno.ENOTDIR, "a link or a file where a folder should be", where)


def _out_of_the_tree(where: str) -> UsageError:
    return UsageError(
        f"{where} is a link or a file where a folder of the tree should be",
        next_step="Files are written to real folders below one root only, on one file system: "
        "name the folder that holds the whole version with --dest.",
    )


def _inode(path: Path) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino
