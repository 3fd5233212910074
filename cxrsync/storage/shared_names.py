"""Names that several runs know, taken and given back without touching another run's file.

A run that was stopped may wake up in the middle of anything, when its lock is another's by now. So
a shared name is never unlinked, and never given up, by itself: it becomes a name of our own, then
the lock is proved. If it is not ours, neither was the file, and it goes back.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from cxrsync.errors import LockLost


def take(names: Sequence[tuple[Path, Path]], check_lock: Callable[[], None]) -> None:
    """Rename each shared name that there is to one of our own. Raises LockLost, and then every
    file has its name again; DiskError, OSError."""
    taken = []
    for shared, own in names:
        with suppress(FileNotFoundError):
            os.rename(shared, own)
            taken.append((shared, own))
    try:
        check_lock()
    except LockLost:
        for shared, own in reversed(taken):
            give_back(own, shared)
        raise


def give_back(own: Path, shared: Path) -> None:
    """Let a file have its shared name again, unless there is another of that name by now: then it
    stays where it is."""
    with suppress(OSError):
        try:
            os.link(own, shared, follow_symlinks=False)
        except FileExistsError:
            return
        except OSError:
            # A file system without links, or a folder.
            if not os.path.lexists(shared):
                os.rename(own, shared)
            return
        os.unlink(own)
