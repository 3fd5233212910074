"""How much room a destination has, and what of a need it lacks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class FreeSpace(NamedTuple):
    """What is free for us, without the reserve for root.

    ``files`` counts the files and folders that can still be made; None where the file system has
    no fixed number of them, as btrfs.
    """

    bytes: int
    files: int | None


class Shortage(NamedTuple):
    """How much is lacking; 0 where it fits. ``files`` counts files and folders."""

    bytes: int
    files: int


def free_space(folder: Path) -> FreeSpace:
    """The room of the file system that ``folder`` is in, or will be in: it need not exist yet.

    Quotas of a user or a project are not told by every file system. Raises OSError.
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


def shortage(room: FreeSpace, need_bytes: int, need_files: int) -> Shortage | None:
    """What ``free_space`` lacks of the need, or None where all of it fits."""
    short = Shortage(
        bytes=max(0, need_bytes - room.bytes),
        files=0 if room.files is None else max(0, need_files - room.files),
    )
    return short if any(short) else None
