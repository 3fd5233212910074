"""What a file system allows: folders, names, mounts; and what its errors mean."""

from __future__ import annotations

import errno
import json
import os
import pwd
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Never
from unicodedata import normalize

from cxrsync.disk_remedies import next_step_of
from cxrsync.errors import DiskError
from cxrsync.model import OWN_FOLDER, FileStat, NameRules
from cxrsync.sanitize import reason_of
from cxrsync.storage.access import OWNER_FILE, OWNER_FOLDER


class FolderStatus(NamedTuple):
    """What the folders of a path allow.

    ``obstacle`` says why nothing may be created or changed there; empty if it may. ``mount``: the
    folder at which another file system than the root's begins. ``unwritable``: the deepest existing
    folder, if we may not write in it.
    """

    exists: bool = True
    obstacle: str = ""
    mount: str = ""
    unwritable: str = ""


_NO_SUCH_NAMES = {errno.EILSEQ, errno.EINVAL, errno.ENOENT}
_BY_EFFECTIVE_ID = os.access in os.supports_effective_ids


class FolderInspector:
    """Inspects the folders above the files of a tree; each folder once, if paths come in order.

    A link is an obstacle, wherever it leads: the files behind it are not ours to change.
    """

    def __init__(self, root: Path) -> None:
        self._root = f"{root}/"
        self._device = os.stat(root).st_dev
        self._folder = ""
        self._names: list[str] = []
        # The status of the root, then of each folder of the last path.
        self._statuses = [FolderStatus(unwritable=self._unwritable(""))]

    def inspect(self, path: str) -> FolderStatus:
        """Return the status of the folders above the file at ``path``."""
        folder = path.rpartition("/")[0]
        if folder != self._folder:
            self._follow(folder)
        return self._statuses[-1]

    def _follow(self, folder: str) -> None:
        names = folder.split("/") if folder else []
        shared = 0
        for name, other in zip(names, self._names, strict=False):
            if name != other:
                break
            shared += 1
        del self._statuses[shared + 1 :]
        for depth in range(shared, len(names)):
            above = self._statuses[-1]
            if above.exists and not above.obstacle:
                above = self._look("/".join(names[: depth + 1]), above)
            self._statuses.append(above)
        self._folder, self._names = folder, names

    def _look(self, folder: str, above: FolderStatus) -> FolderStatus:
        try:
            found = os.lstat(self._root + folder)
        except FileNotFoundError:
            return above._replace(exists=False)
        except OSError as problem:
            return FolderStatus(obstacle=f"{folder} cannot be read: {reason_of(problem)}")
        if stat.S_ISLNK(found.st_mode):
            return FolderStatus(obstacle=f"{folder} is a link: files behind links are not changed")
        if not stat.S_ISDIR(found.st_mode):
            return FolderStatus(obstacle=f"{folder} is not a folder")
        begins = found.st_dev != self._device and not above.mount
        return FolderStatus(
            mount=folder if begins else above.mount, unwritable=self._unwritable(folder)
        )

    def _unwritable(self, folder: str) -> str:
        may = os.access(self._root + folder, os.W_OK | os.X_OK, effective_ids=_BY_EFFECTIVE_ID)
        return "" if may else folder or "."


def probe_name_rules(folder: Path) -> NameRules:
    """Return which different names are one name to the file system, tried with a file in
    ``folder``. That also proves that the folder can be written to. Raises OSError."""
    # Not every file system stores a name that is not ASCII.
    for name in (f".probe-{secrets.token_hex(8)}-aé", f".probe-{secrets.token_hex(8)}-a"):
        probe = folder / name
        try:
            os.close(os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))
        except UnicodeEncodeError:  # the locale has no such letters
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
    raise AssertionError("every file system stores an ASCII name")


def is_on_other_mount(folder: Path, other: Path) -> bool:
    """Return whether no file can be moved from one folder to the other, because they are on
    different file systems, or on different mounts of one. Raises OSError."""
    if os.stat(folder).st_dev != os.stat(other).st_dev:
        return True
    # Linux compares the mounts before it looks for the file. So the file need not exist.
    name = f".probe-{secrets.token_hex(8)}"
    try:
        os.rename(folder / name, other / name)
    except OSError as problem:
        return problem.errno == errno.EXDEV
    return False


FOLDER_MODE = OWNER_FOLDER
FILE_MODE = OWNER_FILE
OTHERS = 0o007
# FUSE and CIFS report these where folders cannot be synced: nothing more can be done there.
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
# Far more than any JSON file of ours has: a larger file is not ours.
_MAX_JSON = 4 << 20

# The largest INTEGER of SQLite.
_LARGEST = (1 << 63) - 1

# Errors of the whole disk: they end the run, because every other file would meet them too.
_WHOLE_DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO,
    errno.EMFILE, errno.ENFILE,
    # The server or the device of a mount is gone.
    errno.ENOTCONN, errno.ENODEV, errno.ENXIO, errno.ESHUTDOWN,
    errno.ESTALE, errno.ETIMEDOUT,
}  # fmt: skip


class UnexpectedFile(OSError):
    """Something else has the name of a file or a folder of ours. The message is our own text."""


class NotAFolder(UnexpectedFile, NotADirectoryError):
    """A link or a file that has the name of a folder of the tree."""


class FolderInTheWay(UnexpectedFile, IsADirectoryError):
    """A folder that has the name of a file of the tree."""


def disk_error(problem: OSError, doing: str) -> DiskError | None:
    """Return the error that ends the run, or None if ``problem`` concerns one file only."""
    if problem.errno == errno.ENOENT and problem.filename:
        folder = os.path.dirname(problem.filename)
        if not os.path.isdir(folder):
            return DiskError(
                f"{doing}: {folder} does not exist any more",
                next_step="If the destination was moved or unmounted, nothing that was downloaded "
                "is lost: bring it back, or name its new place with --dest, and run the same "
                "command again.",
            )
    if problem.errno == errno.EXDEV and problem.filename2:
        names = sorted((problem.filename, problem.filename2), key=_is_ours)
        return other_mount_error(*map(os.path.dirname, names))
    if problem.errno not in _WHOLE_DISK:
        return None
    return disk_failure(problem, doing)


def disk_failure(problem: BaseException, doing: str, *, has_downloads: bool = True) -> DiskError:
    """Return the error that ends the run, with the next step of :func:`next_step_of`."""
    step = next_step_of(problem, has_downloads=has_downloads)
    return DiskError(f"{doing}: {reason_of(problem)}", next_step=step)


def forbidden_folder(folder: Path) -> Path | None:
    """Return the first folder on the way to ``folder``, or ``folder`` itself, that we may not
    enter; None if there is none."""
    for each in (*reversed(folder.parents), folder):
        try:
            os.stat(f"{each}/.")
        except PermissionError:
            return each
        except OSError:
            return None
    return None


def forbidden_error(path: Path, option: str = "--dest") -> DiskError:
    """Return the error for a path that we may not read; ``option`` named it or a folder above."""
    owner = f", which belongs to {name}" if (name := _owner_of(path)) else ""
    return DiskError(
        f"{path}{owner}, may not be read by this user",
        next_step="Ask the owner to let you read it (chmod g+rX for a group that you are in), run "
        f"as the owner, or name another folder with {option}.",
    )


def _owner_of(path: Path) -> str:
    """Return the name of a file's owner, the number of one without a name; "" if unknown."""
    try:
        owner = os.stat(path).st_uid
    except OSError:
        return ""
    try:
        return pwd.getpwuid(owner).pw_name
    except (KeyError, OSError):
        return f"user {owner}"


def reading_error(problem: OSError, doing: str) -> DiskError | None:
    """Like :func:`disk_error`, for reading: a bad sector (EIO) concerns one file only."""
    return None if problem.errno == errno.EIO else disk_error(problem, doing)


def _is_ours(path: str) -> bool:
    return OWN_FOLDER in path.split("/")


def other_mount_error(folder: str, other: str) -> DiskError:
    """Return the error for two folders of a tree between which no file can be moved."""
    return DiskError(
        f"{folder} is on another file system, or another mount of it, than {other}: no finished "
        "file can be moved there",
        next_step="Nothing that was downloaded is lost. Keep the whole version on one file "
        "system: mount the disk at the version's root, or name another --dest. Only folders that "
        "are complete may be on another one.",
    )


def file_stat(status: os.stat_result) -> FileStat:
    """Return the size and mtime of a file. An mtime that the state cannot hold is replaced by the
    nearest one that it can."""
    mtime_ns = status.st_mtime_ns
    if not -_LARGEST <= mtime_ns <= _LARGEST:
        mtime_ns = max(-_LARGEST, min(mtime_ns, _LARGEST))
    return FileStat(status.st_size, mtime_ns)


def make_folders(folder: Path) -> list[Path]:
    """Make a folder and its parents (``mkdir -p``), for their owner only, whatever the umask is.
    Return the new ones, from the top down.

    Raises OSError; FileNotFoundError if the folder ``.cxrsync`` would have to be made, which marks
    a tree. Only :meth:`Tree.create` makes it: a run whose disk was unmounted must not leave a
    marker under the mount point, where the next run would fetch everything again.
    """
    if os.path.isdir(folder):
        return []
    if folder.name == OWN_FOLDER:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
    new = make_folders(folder.parent)
    try:
        os.mkdir(folder, FOLDER_MODE)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise
        return new
    return [*new, folder]


def sync_folders(folders: Iterable[str]) -> None:
    """Sync each folder, so that the names in it survive a power cut. Raises OSError."""
    for folder in folders:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError as problem:
            if problem.errno not in _NO_FOLDER_SYNC:
                raise
        finally:
            os.close(fd)


def open_carefully(path: str, flags: int) -> int:
    """Open a file for :func:`open`, as its ``opener``: a link is not followed, a pipe not waited
    for. The file is closed if it turns out to be a folder."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def read_json(path: Path) -> Any:
    """Return the content of a small JSON file of our own. Raises OSError, ValueError.

    Whatever has that name: a link is not followed, a pipe is not waited for, and the memory stays
    small.
    """
    with open(path, "rb", opener=open_carefully) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise UnexpectedFile(errno.EINVAL, "not a regular file", str(path))
        text = file.read(_MAX_JSON + 1)
    if len(text) > _MAX_JSON:
        raise ValueError(f"more than {_MAX_JSON:,} bytes")
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(constant: str) -> Never:
    # Infinity and NaN are neither sizes nor times.
    raise ValueError(constant)


def regular_size(path: Path) -> int | None:
    """Return the size of a regular file in bytes, or None if there is none. A link is none: it
    could lead out of the tree."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def may_open(path: Path) -> bool:
    """Return whether we may read and write a file. False only if its permissions forbid that; the
    caller meets every other error when it opens the file."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK))
    except PermissionError:
        return False
    except OSError:
        pass
    return True


def is_same_file(fd: int, path: Path) -> bool:
    """Return whether an open file still has the name ``path``. Raises OSError."""
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False
