"""The free space of a destination, and how much of a need does not fit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class FreeSpace(NamedTuple):
    """The free space that we may use, without the reserve for root.

    ``files``: how many files and folders can still be created. None if the file system has no fixed
    number of them, like btrfs.
    """

    bytes: int
    files: int | None


class Shortage(NamedTuple):
    """How much does not fit (0: it fits). ``files`` counts files and folders."""

    bytes: int
    files: int


def free_space(folder: Path) -> FreeSpace:
    """Return the free space of the file system of ``folder``, which need not exist yet.

    Some file systems do not report the quota of a user or a project. Raises OSError.
    """
    try:
        found = os.statvfs(folder)
    except (FileNotFoundError, NotADirectoryError):
        if folder.parent == folder:
            raise
        return free_space(folder.parent)
    return FreeSpace(
        bytes=found.f_bavail * found.f_frsize,
        files=found.f_favail if found.f_files else None,
    )


def shortage(free: FreeSpace, need_bytes: int, need_files: int) -> Shortage | None:
    """Return how much of a need does not fit into ``free``, or None if all of it fits."""
    short = Shortage(
        bytes=max(0, need_bytes - free.bytes),
        files=0 if free.files is None else max(0, need_files - free.files),
    )
    return short if any(short) else None
