"""Publishing: giving verified files their final names. No other module makes a final name.

Order: sync the data, rename the file to its final name, sync the folder, then (the caller) write
the record to the state. After a power cut a record can be there without its file, so readers of the
state also stat the file. A wrong file under a final name is not possible.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cxrsync.model import Entry, FileStat
from cxrsync.storage.access import NOT_POSSIBLE
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

_PARALLEL = 4
_COPY_BYTES = 1 << 20
# Do not follow a link, do not wait at a pipe.
_READ_ONLY = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """A file whose digest is the published one, before it has its final name."""

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
    """Give each verified file its final name. Return the result of each, in the order of ``batch``.

    The caller has checked the lock since the files got their claimed names. If another run took
    over since then, it unlinked these, and nothing is published.

    ``displace`` is called with a path whose final name is taken. It moves the file there to the
    trash, or gives it a second name and returns that; the second name is removed again if the final
    name is not replaced. Each folder is synced once for all of its files in the batch. The OSError
    of a single file is returned in its place, not raised.
    """
    if fsync:
        _begin_to_write(batch)
    prepared: list[OSError | None] = [None] * len(batch)
    for first, some in enumerate(
        _in_parallel(lambda some: [_prepare(tree, each, fsync=fsync) for each in some], batch, pool)
    ):
        prepared[first::_PARALLEL] = some
    results: list[FileStat | OSError] = []
    folders: set[str] = set()
    for verified, problem in zip(batch, prepared, strict=True):
        if problem is not None:
            results.append(problem)
            continue
        try:
            folders |= tree.make_parent(verified.entry.path)
            results.append(_give_final_name(tree, verified, displace))
        except OSError as failed:
            results.append(failed)
    if fsync:
        # Side by side, as the files: a journal (ext4, xfs) commits the names of several at once.
        _in_parallel(sync_folders, sorted(folders), pool)
    return results


def _begin_to_write(batch: Sequence[VerifiedFile]) -> None:
    """Let the kernel begin to write all files of a batch. Then one commit of a journal serves many
    of them, and the syncs, which alone promise anything, wait less."""
    if not hasattr(os, "posix_fadvise"):  # macOS
        return
    for each in batch:
        # Linux begins to write the dirty pages of such a range, and keeps them until then. An error
        # comes back from the sync.
        with suppress(OSError):
            os.posix_fadvise(each.partial.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _in_parallel(
    work: Callable[[Sequence[T]], R], items: Sequence[T], pool: Executor | None
) -> list[R]:
    """Call ``work`` on every n-th item, in parallel: handing over single items costs more."""
    parts = [items[first::_PARALLEL] for first in range(_PARALLEL)]
    return list((map if pool is None else pool.map)(work, parts))


def _prepare(tree: Tree, verified: VerifiedFile, *, fsync: bool) -> OSError | None:
    """Set the mode and the time of a file, and sync its bytes. Return its OSError."""
    partial = verified.partial
    try:
        fd = partial.fileno()
        # A file with other hard links is an older version's file, too: it is not changed.
        if partial.is_new or os.fstat(fd).st_nlink == 1:
            if not partial.is_new:
                os.fchmod(fd, FILE_MODE)
            if partial.object_version is not None and partial.object_version.modified is not None:
                # The server's time, so that `wget -N` gets its 304. Not earlier: a partial with
                # this time would look complete to wget.
                os.utime(fd, (partial.object_version.modified, partial.object_version.modified))
        tree.share_file(fd)
        if fsync:
            _sync(partial)
    except OSError as problem:
        return problem
    return None


def _give_final_name(
    tree: Tree, verified: VerifiedFile, displace: Callable[[str], Path | None]
) -> FileStat:
    partial = verified.partial
    final = tree.final(verified.entry.path)
    found = os.fstat(partial.fileno())
    same = os.path.samestat(found, os.lstat(partial.path))
    if not same or found.st_size != partial.size or not partial.complete:
        raise UnexpectedFile(errno.ESTALE, "not the file that was verified", str(partial.path))
    kept = displace(verified.entry.path) if os.path.lexists(final) else None
    try:
        try:
            partial.close()  # before the rename: NFS reports a full disk only here
        except OSError:
            partial.discard()
            raise
        os.rename(partial.path, final)
    except OSError:
        if kept is not None and _is_same_file(kept, final):
            kept.unlink()  # the file still has its final name
        raise
    partial.forget_sidecar()
    return file_stat(found)


def _is_same_file(one: Path, other: str) -> bool:
    try:
        return os.path.samestat(os.lstat(one), os.lstat(other))
    except OSError:
        return False


def _sync(partial: Partial) -> None:
    """Sync the bytes. If that fails, throw them away: the kernel has dropped what it could not
    write, but still shows it, and the next sync would report success. Raises OSError."""
    try:
        os.fsync(partial.fileno())
    except OSError:
        partial.discard()
        raise


def continue_short_file(tree: Tree, entry: Entry, partial: Partial, trash: Trash) -> None:
    """Turn a file that another tool left too short into the beginning of a partial.

    The file loses its final name, and that is synced before this returns: a power cut must not
    bring the name back after more bytes were written to the file. A file with other hard links is
    copied, because it belongs to those names, too. Another user's file is copied and then moved to
    ``trash``. If a partial already holds more bytes, it is kept, and the file is moved to
    ``trash``.

    Raises OSError, LockLost, DiskError.
    """
    tree.check_parent(entry.path)
    final = tree.final(entry.path)
    found = os.lstat(final)
    partial.load()  # its length is not its size: it may have gaps
    if partial.size >= found.st_size or not stat.S_ISREG(found.st_mode):
        trash.move(entry.path)
        return
    make_folders(partial.path.parent)
    partial.discard()  # with its sidecar, which must not describe other bytes
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


def remove_original(tree: Tree, path: str, size: int) -> bool:
    """Remove a published file that its smaller copy replaces. Return False if something else lies
    there by now: a file of another size, a link, or nothing. Raises OSError."""
    tree.check_parent(path)
    found = tree.find(path)
    if found is None or found.size != size:
        return False
    os.unlink(tree.final(path))
    return True


def copy_partial_name(entry: Entry) -> str:
    """Return the name of a partial that begins as a copy. Several may have the same digest."""
    return f"{entry.sha256}.{hashlib.sha256(entry.path.encode()).hexdigest()[:16]}{COPY_SUFFIX}"


def copy_published(original: str, partial: Partial) -> None:
    """Begin a partial as a copy of a published file with the same digest.

    Its bytes are hashed again, like all others, before this path is published.
    """
    make_folders(partial.path.parent)
    _copy(original, partial.path)


def _copy(original: str, target: Path) -> None:
    """Make a new file of ours with the bytes of another one. A file that has its name already is
    unlinked, not written to: it may be a link to somebody else's file."""
    with open(os.open(original, _READ_ONLY), "rb") as source:
        target.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(os.open(target, flags, FILE_MODE), "wb") as copy:
            shutil.copyfileobj(source, copy, _COPY_BYTES)


def restrict_access(tree: Tree, path: str) -> bool:
    """Give an adopted file the permissions of the tree; without any, only remove those of others,
    as the data use agreement demands.

    Return False if the file was not changed because it is not ours alone: it belongs to another
    user, or has another hard link. Raises OSError.
    """
    fd = os.open(tree.final(path), _READ_ONLY)
    try:
        tree.share_file(fd)
        found = os.fstat(fd)
        if not found.st_mode & OTHERS:
            return True
        if found.st_nlink > 1:
            return False
        os.fchmod(fd, found.st_mode & 0o7777 & ~OTHERS)
    except OSError as problem:
        if problem.errno not in NOT_POSSIBLE:
            raise
        return False
    finally:
        os.close(fd)
    return True
