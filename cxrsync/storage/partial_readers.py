"""Partials as a reader sees them, though a run may be at work on them."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from cxrsync.storage.filesystem import is_same_file
from cxrsync.storage.partial_names import read_name
from cxrsync.storage.sidecar import PartialState, read_partial_state, sidecar_path

# There is no file, or something else than a file: a link, a pipe, a socket.
_NO_FILE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO}


def open_partial(data: Path, *, digest_known: bool) -> tuple[int, PartialState] | None:
    """A partial opened for reading, and what is there of it, though a run may be at work on it.
    None where there is none, or where it becomes another one meanwhile. Raises OSError."""
    try:
        fd = os.open(data, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as problem:
        if problem.errno in _NO_FILE:
            return None
        raise
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode):
        # Before any of it is read: what the sidecar claims is there by then.
        stock = read_partial_state(found.st_size, sidecar_path(data), digest_known=digest_known)
        if is_same_file(fd, data):
            return fd, stock
    os.close(fd)
    return None


def open_best_partial(
    folder: Path, base: str, *, digest_known: bool
) -> tuple[int, PartialState] | None:
    """The partial ``base``, at rest or at work: that of which most is there, opened for reading.
    None where there is none. Raises OSError."""
    best: tuple[int, PartialState] | None = None
    for _again in range(3):  # its name may change while we look
        for name in _names_in(folder):
            left = read_name(name)
            if left is None or left.base != base or left.is_sidecar:
                continue
            found = None
            with suppress(PermissionError):  # another user's
                found = open_partial(folder / name, digest_known=digest_known)
            if found is not None and (best is None or _worth(found[1]) > _worth(best[1])):
                best, found = found, best
            if found is not None:
                os.close(found[0])
        if best is not None:
            break
    return best


def _worth(stock: PartialState) -> tuple[bool, int]:
    return stock.object_version is not None, stock.size


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def unclaimed_names(folder: Path) -> set[str]:
    """The partials that lie at rest in a folder. Raises OSError."""
    return {name for name in _names_in(folder) if "." not in name}


def count_partials(folder: Path) -> tuple[int, int]:
    """How many partials lie in a folder, at rest or at work, and the bytes that they take; nothing
    where it cannot be read."""
    files = size = 0
    try:
        with os.scandir(folder) as found:
            for item in found:
                left = read_name(item.name)
                if left is not None and not left.is_sidecar:
                    files += 1
                    # Blocks, not length: a file in segments has holes.
                    size += item.stat().st_blocks * 512
    except OSError:
        return 0, 0
    return files, size
