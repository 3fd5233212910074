"""What a file system can do and cannot: folders, names, mounts, and what its errors mean."""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Never
from unicodedata import normalize

from cxrsync.errors import DiskError
from cxrsync.model import FileStat, NameRules
from cxrsync.sanitize import reason_of
from cxrsync.storage.layout import OWN_FOLDER


class FolderStatus(NamedTuple):
    """Where the folders of a path lead.

    ``obstacle`` says why nothing may be put or changed there, and is empty where it may; ``mount``
    is the folder, if there is one, where another file system than the root's begins; ``closed`` the
    one where whatever is not there yet would have to be made, if we may not write in it.
    """

    exists: bool = True
    obstacle: str = ""
    mount: str = ""
    unwritable: str = ""


_NO_SUCH_NAMES = {errno.EILSEQ, errno.EINVAL, errno.ENOENT}
_BY_EFFECTIVE_ID = os.access in os.supports_effective_ids


class FolderInspector:
    """The folders on the way to the files of a tree; each is looked at once while paths come in
    order.

    A link is an obstacle, wherever it leads: what lies behind it is somebody else's to arrange.
    """

    def __init__(self, root: Path) -> None:
        self._root = f"{root}/"
        self._device = os.stat(root).st_dev
        self._folder = ""
        self._names: list[str] = []
        # Of the root, and of each folder of the last path below it.
        self._ways = [FolderStatus(unwritable=self._closed(""))]

    def inspect(self, path: str) -> FolderStatus:
        """The way to the file at ``path``."""
        folder = path.rpartition("/")[0]
        if folder != self._folder:
            self._follow(folder)
        return self._ways[-1]

    def _follow(self, folder: str) -> None:
        names = folder.split("/") if folder else []
        shared = 0
        for name, other in zip(names, self._names, strict=False):
            if name != other:
                break
            shared += 1
        del self._ways[shared + 1 :]
        for depth in range(shared, len(names)):
            way = self._ways[-1]
            if way.exists and not way.obstacle:
                way = self._look("/".join(names[: depth + 1]), way)
            self._ways.append(way)
        self._folder, self._names = folder, names

    def _look(self, folder: str, above: FolderStatus) -> FolderStatus:
        try:
            found = os.lstat(self._root + folder)
        except FileNotFoundError:
            return above._replace(exists=False)
        except OSError as problem:
            return FolderStatus(obstacle=f"{folder} cannot be looked at: {reason_of(problem)}")
        if stat.S_ISLNK(found.st_mode):
            return FolderStatus(obstacle=f"{folder} is a link, and nothing is changed behind links")
        if not stat.S_ISDIR(found.st_mode):
            return FolderStatus(obstacle=f"{folder} is no folder")
        begins = found.st_dev != self._device and not above.mount
        return FolderStatus(
            mount=folder if begins else above.mount, unwritable=self._closed(folder)
        )

    def _closed(self, folder: str) -> str:
        may = os.access(self._root + folder, os.W_OK | os.X_OK, effective_ids=_BY_EFFECTIVE_ID)
        return "" if may else folder or "."


def probe_name_rules(folder: Path) -> NameRules:
    """Which names the file system takes for one, tried with a file in ``folder``; which proves that
    it can be written, too. Raises OSError."""
    # Not everyone stores a name that is not ASCII.
    for name in (f".probe-{secrets.token_hex(8)}-aé", f".probe-{secrets.token_hex(8)}-a"):
        probe = folder / name
        try:
            os.close(os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))
        except UnicodeEncodeError:  # the locale has no such letters: no name can be told with them
            continue
        except OSError as problem:
            if problem.errno in _NO_SUCH_NAMES and not name.isascii():
                continue
            raise
        try:
            others = (name.upper(), name.removesuffix("é") + "É")
            return NameRules(
                case=any(os.path.lexists(folder / other) for other in others if other != name),
                forms=not name.isascii() and os.path.lexists(folder / normalize("NFD", name)),
            )
        finally:
            os.unlink(probe)
    raise AssertionError("an ASCII name is a name")


def is_on_other_mount(folder: Path, other: Path) -> bool:
    """Whether a file cannot be moved from one folder into the other: they are on different file
    systems, or on different mounts of one. Raises OSError."""
    if os.stat(folder).st_dev != os.stat(other).st_dev:
        return True
    # Linux compares the mounts before it looks for the file: one that is not there will do.
    name = f".probe-{secrets.token_hex(8)}"
    try:
        os.rename(folder / name, other / name)
    except OSError as problem:
        return problem.errno == errno.EXDEV
    return False


FOLDER_MODE = 0o700
FILE_MODE = 0o600
OTHERS = 0o007
# What FUSE and CIFS answer where folders cannot be synced: nothing more can be done there.
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
# Far more than any JSON file of ours has: what is larger is none of them.
_MAX_JSON = 4 << 20

# What SQLite holds in an INTEGER.
_LARGEST = (1 << 63) - 1

# Errors of the disk as a whole: they end the run, because every other file would meet them too.
_WHOLE_DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO,
    errno.EMFILE, errno.ENFILE,
    # A mount whose server, or whose device, has gone.
    errno.ENOTCONN, errno.ENODEV, errno.ENXIO, errno.ESHUTDOWN,
    errno.ESTALE, errno.ETIMEDOUT,
}  # fmt: skip


class UnexpectedFile(OSError):
    """Something else stands where a file or a folder of ours should be. Its words are our own."""


class NotAFolder(UnexpectedFile, NotADirectoryError):
    """A link or a file where a folder of the tree should be."""


class FolderInTheWay(UnexpectedFile, IsADirectoryError):
    """A folder where a file of the tree should be."""


def disk_error(problem: OSError, doing: str) -> DiskError | None:
    """The run-ending error behind ``problem``, or None where only one file is concerned."""
    if problem.errno == errno.ENOENT and problem.filename:
        folder = os.path.dirname(problem.filename)
        if not os.path.isdir(folder):
            return DiskError(
                f"{doing}: {folder} is not there any more",
                next_step="Nothing that was downloaded is lost, if the destination was moved or "
                "unmounted: bring it back, or name its new place with --dest, and run the same "
                "command again.",
            )
    if problem.errno == errno.EXDEV and problem.filename2:
        names = sorted((problem.filename, problem.filename2), key=_is_ours)
        return other_mount_error(*map(os.path.dirname, names))
    if problem.errno not in _WHOLE_DISK:
        return None
    return DiskError(f"{doing}: {reason_of(problem)}")


def reading_error(problem: OSError, doing: str) -> DiskError | None:
    """As :func:`disk_error`, of reading: there a bad sector (EIO) is one file's."""
    return None if problem.errno == errno.EIO else disk_error(problem, doing)


def _is_ours(path: str) -> bool:
    return OWN_FOLDER in path.split("/")


def other_mount_error(folder: str, other: str) -> DiskError:
    """The error for two folders of a tree between which no file can be moved."""
    return DiskError(
        f"{folder} is on another file system, or another mount of it, than {other}: no finished "
        "file can be moved there",
        next_step="Nothing that was downloaded is lost. Let the whole version lie on one file "
        "system: mount the disk at its root, or name another --dest. Only what is complete may "
        "lie elsewhere.",
    )


def file_stat(status: os.stat_result) -> FileStat:
    """Size and mtime of a file; a time that the state cannot hold is the last, or the first, that
    it can."""
    return FileStat(status.st_size, max(-_LARGEST, min(status.st_mtime_ns, _LARGEST)))


def make_folders(folder: Path) -> list[Path]:
    """``mkdir -p``, every new folder for its owner only, whatever the umask allows more. Returns
    the new ones, from the top down."""
    if folder.is_dir():
        return []
    new = make_folders(folder.parent)
    try:
        os.mkdir(folder, FOLDER_MODE)
    except FileExistsError:
        if not folder.is_dir():
            raise
        return new
    return [*new, folder]


def sync_folders(folders: Iterable[str]) -> None:
    """Make the names in each folder last through a power cut."""
    for folder in folders:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError as problem:
            if problem.errno not in _NO_FOLDER_SYNC:
                raise
        finally:
            os.close(fd)


def read_json(path: Path) -> Any:
    """What a small JSON file of our own says, whatever may lie there: a link is not followed, a
    pipe not waited for, and the memory stays small. Raises OSError, ValueError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise UnexpectedFile(errno.EINVAL, "not a regular file", str(path))
        text = file.read(_MAX_JSON + 1)
    if len(text) > _MAX_JSON:
        raise ValueError(f"more than {_MAX_JSON:,} bytes")
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(constant: str) -> Never:
    # Infinity and NaN are no sizes and no times.
    raise ValueError(constant)


def regular_size(path: Path) -> int | None:
    """The bytes of a regular file; None where there is none. A link is none: it could lead out of
    the tree."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def may_open(path: Path) -> bool:
    """Whether we may read and write a file. False only where its permissions forbid that: whoever
    opens it later meets any other error."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK))
    except PermissionError:
        return False
    except OSError:
        pass
    return True


def is_same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False
