"""Who may read the files and folders of a tree: their modes and their group.

By default only their owner. The group is set before the mode: a file whose group cannot be set must
not become readable to the group that it has. Changed are only files that are ours alone: another
user's stay as they are, and those with other hard links, which may belong to another tree.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from dataclasses import dataclass, replace
from pathlib import Path

from cxrsync.storage.posix_acl import set_acl_mode

OWNER_FILE, OWNER_FOLDER = 0o600, 0o700
_SETGID = 0o2000
_CAREFULLY = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
# A change of group or mode fails with these: another user's file, no member of the group, a file
# system without modes, a sandbox that forbids the setgid bit.
NOT_POSSIBLE = {
    errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL,
    errno.EROFS,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Access:
    """The modes of files and folders, and their group (None: as the file system chooses)."""

    files: int = OWNER_FILE
    folders: int = OWNER_FOLDER
    gid: int | None = None

    def set_on_file(self, file: int) -> bool:
        """Give an open file this mode and group. Return False if that is not possible, because it
        is not ours alone. Raises OSError."""
        if os.fstat(file).st_nlink > 1:
            return self._is_right(os.fstat(file), self.files)
        return self.set_on_own(file)

    def set_on_own(self, file: int) -> bool:
        """Like :meth:`set_on_file`, for a file all of whose names are ours."""
        return self._set(file, self.files)

    def set_on_folder(self, folder: int) -> bool:
        """Like :meth:`set_on_file`, for an open folder."""
        return self._set(folder, self.folders)

    def set_on(self, path: str | Path) -> bool:
        """Like :meth:`set_on_file`, for the file or folder at ``path``; no link is followed."""
        fd = os.open(path, _CAREFULLY)
        try:
            kind = os.fstat(fd).st_mode
            if stat.S_ISDIR(kind):
                return self.set_on_folder(fd)
            return stat.S_ISREG(kind) and self.set_on_file(fd)
        finally:
            os.close(fd)

    def _is_right(self, found: os.stat_result, mode: int) -> bool:
        return stat.S_IMODE(found.st_mode) == mode and self.gid in {None, found.st_gid}

    def _set(self, fd: int, mode: int) -> bool:
        try:
            if self.gid is not None and self.gid != os.fstat(fd).st_gid:
                os.fchown(fd, -1, self.gid)
            set_acl_mode(fd, mode)
            if stat.S_IMODE(os.fstat(fd).st_mode) != mode:
                os.fchmod(fd, mode)
        except OSError as problem:
            if problem.errno not in NOT_POSSIBLE:
                raise
            return False
        return self._is_right(os.fstat(fd), mode)


OWNER_ONLY = Access()


def possible_access(folder: Path, wanted: Access) -> Access | None:
    """Return what the file system of ``folder``, one of our own, can keep of ``wanted``: all of it,
    or all but the setgid bit, or nothing (None). Tried with a file and a folder. Raises OSError."""
    probe = folder / f".probe-{secrets.token_hex(8)}"
    os.close(os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_EXCL | os.O_CLOEXEC, OWNER_FILE))
    try:
        if not wanted.set_on(probe):
            return None
    finally:
        os.unlink(probe)
    os.mkdir(probe, OWNER_FOLDER)
    try:
        for each in (wanted, replace(wanted, folders=wanted.folders & ~_SETGID)):
            if each.set_on(probe):
                return each
        return None
    finally:
        os.rmdir(probe)
