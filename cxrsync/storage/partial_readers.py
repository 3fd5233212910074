"""Partials as readers see them, while a run may be working on them."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from cxrsync.storage.filesystem import is_same_file
from cxrsync.storage.partial_names import read_name
from cxrsync.storage.sidecar import PartialState, read_partial_state, sidecar_path

# There is no file, or not a regular one: a link, a pipe, a socket.
_NO_FILE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO}


def open_partial(data: Path, *, digest_known: bool) -> tuple[int, PartialState] | None:
    """Open a partial for reading. Return its descriptor and what it holds.

    None if there is none, or if another file gets its name meanwhile. Raises OSError.
    """
    try:
        fd = os.open(data, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as problem:
        if problem.errno in _NO_FILE:
            return None
        raise
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode):
        # Read the sidecar before any data: the data that it lists is on the disk by then.
        state = read_partial_state(found.st_size, sidecar_path(data), digest_known=digest_known)
        if is_same_file(fd, data):
            return fd, state
    os.close(fd)
    return None


def open_best_partial(
    folder: Path, base: str, *, digest_known: bool
) -> tuple[int, PartialState] | None:
    """Open the partial ``base`` for reading, claimed or not; of several, the one with most bytes.
    None if there is none that we may open. Raises OSError."""
    best: tuple[int, PartialState] | None = None
    for _again in range(3):  # its name may change while we look
        for name in _names_in(folder):
            leftover = read_name(name)
            if leftover is None or leftover.base != base or leftover.is_sidecar:
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


def _worth(state: PartialState) -> tuple[bool, int]:
    return state.object_version is not None, state.size


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def unclaimed_names(folder: Path) -> set[str]:
    """Return the names of the unclaimed partials in a folder. Raises OSError."""
    return {name for name in _names_in(folder) if "." not in name}


def count_partials(folder: Path) -> tuple[int, int]:
    """Return how many partials a folder holds, claimed or not, and the bytes that they take on the
    disk; (0, 0) if the folder cannot be read."""
    files = size = 0
    try:
        with os.scandir(folder) as found:
            for item in found:
                leftover = read_name(item.name)
                if leftover is not None and not leftover.is_sidecar:
                    files += 1
                    # Blocks, not the length: a segmented file has holes.
                    size += item.stat().st_blocks * 512
    except OSError:
        return 0, 0
    return files, size
