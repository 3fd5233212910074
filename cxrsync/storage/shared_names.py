"""Names that several runs use, taken and given back without touching another run's file.

A run that was stopped may wake up at any moment, when another run owns its lock. So a run never
unlinks or gives up a shared name directly. It first renames the file to a name of its own, then
checks the lock. If the lock is lost, the file was not ours either, and gets its shared name back.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from cxrsync.errors import LockLost


def take_names(names: Sequence[tuple[Path, Path]], check_lock: Callable[[], None]) -> None:
    """Rename each shared name that exists to a name of our own, given as (shared, own) pairs.

    Raises LockLost (then every file has its shared name again), DiskError, OSError.
    """
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
    """Give a file its shared name again. If another file has that name by now, leave it where it
    is."""
    with suppress(OSError):
        try:
            os.link(own, shared, follow_symlinks=False)
        except FileExistsError:
            return
        except OSError:
            # A file system without hard links, or a folder.
            if not os.path.lexists(shared):
                os.rename(own, shared)
            return
        os.unlink(own)
