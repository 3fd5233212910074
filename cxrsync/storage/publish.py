"""The only place where a final name is made, and the places where a wrong file goes instead.

Order: data on the disk, then the final name, then the folder on the disk, then (by the caller) the
row in the state. A row without its file is possible after a power cut, so whoever reads the state
also stats; a wrong file under a final name is not possible.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cxrsync.model import Entry, FileStat
from cxrsync.storage.atomic_write import COPY_SUFFIX, UNFINISHED
from cxrsync.storage.filesystem import (
    FILE_MODE,
    OTHERS,
    UnexpectedFile,
    file_stat,
    make_folders,
    sync_folders,
)
from cxrsync.storage.partial import Partial
from cxrsync.storage.shared_names import take_names
from cxrsync.storage.trash import Trash
from cxrsync.storage.tree import Tree

_PIECES = 4
_COPY_BYTES = 1 << 20
# A link is not followed, nor a pipe waited for.
_AS_IT_IS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
# Of a change of mode: another user's file, or a file system that has no modes.
_NOT_OURS = {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """A file whose digest was found right, on its way to its final name."""

    entry: Entry
    partial: Partial


def publish(
    tree: Tree,
    batch: Sequence[VerifiedFile],
    displace: Callable[[str], Path | None],
    *,
    fsync: bool = True,
    pool: Executor | None = None,
) -> list[FileStat | OSError]:
    """Give each verified file its final name; what became of each, in the order of ``batch``.

    The caller has proved the lock since the files bear names of our own: whoever took it over since
    has unlinked these, and nothing is published. ``displace`` takes care of what stands under a
    final name, given the path; the second name that it got there, if it did, is taken back where
    nothing takes its place. One folder's fsync serves all of its files in the batch. Raises nothing
    for a single file: its OSError is returned in its place.
    """
    settled: list[OSError | None] = [None] * len(batch)
    for first, some in enumerate(
        _in_pieces(lambda some: [_settle(each, fsync=fsync) for each in some], batch, pool)
    ):
        settled[first::_PIECES] = some
    results: list[FileStat | OSError] = []
    folders: set[str] = set()
    for ready, problem in zip(batch, settled, strict=True):
        if problem is not None:
            results.append(problem)
            continue
        try:
            folders |= tree.make_parent(ready.entry.path)
            results.append(_name(tree, ready, displace))
        except OSError as failed:
            results.append(failed)
    if fsync:
        sync_folders(folders)
    return results


def _in_pieces(
    work: Callable[[Sequence[T]], R], items: Sequence[T], pool: Executor | None
) -> list[R]:
    """Do ``work`` on each n-th item, side by side: to hand over each by itself costs more."""
    pieces = [items[first::_PIECES] for first in range(_PIECES)]
    return list((map if pool is None else pool.map)(work, pieces))


def _settle(ready: VerifiedFile, *, fsync: bool) -> OSError | None:
    """Mode, time and bytes, on the disk."""
    partial = ready.partial
    try:
        fd = partial.fileno()
        # With other links it is an older version's file too, and is not touched.
        if partial.is_new or os.fstat(fd).st_nlink == 1:
            if not partial.is_new:
                os.fchmod(fd, FILE_MODE)
            if partial.object_version is not None and partial.object_version.modified is not None:
                # The server's time, so that `wget -N` gets its 304. Only now: a partial with this
                # time would look complete to it.
                os.utime(fd, (partial.object_version.modified, partial.object_version.modified))
        if fsync:
            _sync(partial)
    except OSError as problem:
        return problem
    return None


def _name(tree: Tree, ready: VerifiedFile, displace: Callable[[str], Path | None]) -> FileStat:
    partial = ready.partial
    final = tree.final(ready.entry.path)
    found = os.fstat(partial.fileno())
    same = os.path.samestat(found, os.lstat(partial.path))
    if not same or found.st_size != partial.size or not partial.complete:
        raise UnexpectedFile(errno.ESTALE, "not the file that was verified", str(partial.path))
    kept = displace(ready.entry.path) if os.path.lexists(final) else None
    try:
        try:
            partial.close()  # before it has its name: NFS tells of a full disk only here
        except OSError:
            partial.discard()
            raise
        os.rename(partial.path, final)
    except OSError:
        if kept is not None and _is_one_file(kept, final):
            kept.unlink()  # it stands where it stood
        raise
    partial.forget_sidecar()
    return file_stat(found)


def _is_one_file(one: Path, other: str) -> bool:
    try:
        return os.path.samestat(os.lstat(one), os.lstat(other))
    except OSError:
        return False


def _sync(partial: Partial) -> None:
    """Bring the bytes to the disk. Where that fails they are thrown away: the kernel has let go of
    what it could not write, shows it nevertheless, and the next sync would say that all is well."""
    try:
        os.fsync(partial.fileno())
    except OSError:
        partial.discard()
        raise


def continue_short_file(tree: Tree, entry: Entry, partial: Partial, trash: Trash) -> None:
    """Make a file that another tool left short the beginning of a partial.

    Its final name is given up, and that is on the disk before this returns: a power cut must not
    bring it back with bytes in the file that were written since. A file with other links is
    copied, since those links are somebody's too; so is another user's, which ``trash`` takes then.
    A partial that is there already wins where it holds more; then ``trash`` takes the file. Raises
    OSError, LockLost, DiskError.
    """
    tree.check_parent(entry.path)
    final = tree.final(entry.path)
    found = os.lstat(final)
    partial.load()  # its length says little: it may have gaps
    if partial.size >= found.st_size or not stat.S_ISREG(found.st_mode):
        trash.move(entry.path)
        return
    make_folders(partial.path.parent)
    partial.discard()  # its sidecar too, which must not speak of other bytes
    if found.st_uid != os.geteuid():
        _copy(final, partial.path)
        trash.move(entry.path)
    elif found.st_nlink > 1:
        _copy(final, partial.path)
        moved = partial.path.with_name(partial.path.name + UNFINISHED)
        take_names([(Path(final), moved)], lambda: trash.check_lock(entry.path))
        moved.unlink(missing_ok=True)
    else:
        take_names([(Path(final), partial.path)], lambda: trash.check_lock(entry.path))
        sync_folders({os.path.dirname(final), str(partial.path.parent)})
    os.chmod(partial.path, FILE_MODE)


def copy_partial_name(entry: Entry) -> str:
    """The name of a partial that begins as a copy: of its digest there may be several at once."""
    return f"{entry.sha256}.{hashlib.sha256(entry.path.encode()).hexdigest()[:16]}{COPY_SUFFIX}"


def copy_published(original: str, partial: Partial) -> None:
    """Begin a partial with the bytes of a published file that has the same digest.

    They are hashed again, like any other's, before this path is published.
    """
    make_folders(partial.path.parent)
    _copy(original, partial.path)


def _copy(original: str, target: Path) -> None:
    """A new file of ours with the bytes of another. What stands under its name is not written to:
    it may be a link to somebody's."""
    with open(os.open(original, _AS_IT_IS), "rb") as source:
        target.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(os.open(target, flags, FILE_MODE), "wb") as copy:
            shutil.copyfileobj(source, copy, _COPY_BYTES)


def remove_access_of_others(path: str) -> bool:
    """Take the bits for others from an adopted file: its data use agreement wants that.

    False where it stays as it is, since it is not ours alone: another user's, or one that has
    another name elsewhere, too.
    """
    fd = os.open(path, _AS_IT_IS)
    try:
        found = os.fstat(fd)
        if not found.st_mode & OTHERS:
            return True
        if found.st_nlink > 1:
            return False
        os.fchmod(fd, found.st_mode & 0o7777 & ~OTHERS)
    except OSError as problem:
        if problem.errno not in _NOT_OURS:
            raise
        return False
    finally:
        os.close(fd)
    return True
