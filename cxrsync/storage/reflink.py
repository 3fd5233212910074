"""Copying a file from an older version's tree, at the least cost that the disk allows.

A clone (reflink) shares the bytes on the disk until one of the two files is changed, so changing or
deleting one leaves the other intact. A hard link is the same file under two names.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import sys
from contextlib import suppress
from pathlib import Path

from cxrsync.config.job import Link
from cxrsync.storage.disk_space import free_space
from cxrsync.storage.filesystem import FILE_MODE, UnexpectedFile

# A copy leaves so many bytes free: the state, the folders and the partials need space as well.
RESERVE = 64 << 20

# linux/fs.h: _IOW(0x94, 9, int)
_FICLONE = 0x40049409
_CANNOT_CLONE = {
    errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOTTY, errno.EXDEV,
    errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EBADF,
}  # fmt: skip
# EPERM: a file system without links, or a file that the kernel lets only its owner link.
_CANNOT_LINK = {
    errno.EXDEV, errno.EMLINK, errno.EPERM,
    errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS,
}  # fmt: skip
# sendfile fails with these: macOS sends to sockets only (ENOTSOCK), some FUSE file systems never.
_CANNOT_SEND = {errno.ENOTSOCK, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}

_PIECE = 64 << 20
_PIECE_IN_MEMORY = 8 << 20


def clone_link_or_copy(original: str, target: Path, how: Link, *, reserve: int = RESERVE) -> Link:
    """Make ``target``, a path in our own folder, with the bytes of ``original``. Return how.

    A file that is at ``target`` already is unlinked first, never written to. The bytes are neither
    verified nor synced. A clone and a copy are files of our own (``FILE_MODE``, new times). A hard
    link is not: writing, truncating, ``chmod`` and ``utime`` would change the older version's file.
    A caller that gets HARDLINK back must do none of these.

    Raises OSError: ELOOP if ``original`` is a symbolic link, EINVAL if it is not a regular file
    (then ``target`` is unchanged); ENOSPC if a copy would leave less than ``reserve`` bytes free.
    After that error, and after any later one, there is no target.
    """
    # O_NONBLOCK: opening a pipe must not wait until somebody writes to it.
    source = os.open(original, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(source)
        if not stat.S_ISREG(found.st_mode):
            raise UnexpectedFile(errno.EINVAL, "not a regular file", original)
        target.unlink(missing_ok=True)
        if how is Link.HARDLINK and _hard_link(original, found, target):
            return Link.HARDLINK
        return _fill(source, found.st_size + reserve, target, may_clone=how is not Link.COPY)
    finally:
        os.close(source)


def _hard_link(original: str, found: os.stat_result, target: Path) -> bool:
    try:
        os.link(original, target, follow_symlinks=False)
    except OSError as problem:
        if problem.errno in _CANNOT_LINK:
            return False
        raise
    if os.path.samestat(found, os.lstat(target)):
        return True
    # Since we opened it, its name was given to another file, or to a symbolic link.
    target.unlink()
    return False


def _fill(source: int, needed_bytes: int, target: Path, *, may_clone: bool) -> Link:
    """Make a file of our own with the bytes of ``source``."""
    fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        try:
            if may_clone and clone(source, fd):
                return Link.REFLINK
            if free_space(target.parent).bytes < needed_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
            _copy(source, fd)
        finally:
            os.close(fd)
    except BaseException:
        _remove(target)
        raise
    return Link.COPY


def clone(source: int, target: int) -> bool:
    """Let an open, empty file share the bytes of another one. Return False if it cannot."""
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as problem:
        if problem.errno in _CANNOT_CLONE:
            return False
        raise
    return True


def _copy(source: int, target: int) -> None:
    # Not copy_file_range, which may clone: a copy must share no block with the original, so that
    # one bad block does not damage both.
    sent = 0
    try:
        while count := os.sendfile(target, source, sent, _PIECE):
            sent += count
    except OSError as problem:
        if sent or problem.errno not in _CANNOT_SEND:
            raise
        with (
            open(source, "rb", 0, closefd=False) as read,
            open(target, "wb", 0, closefd=False) as to,
        ):
            shutil.copyfileobj(read, to, _PIECE_IN_MEMORY)


def _remove(target: Path) -> None:
    with suppress(OSError):  # report the first error, not this one
        target.unlink()
