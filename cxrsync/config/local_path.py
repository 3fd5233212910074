"""Check that a path that an option names is there, and what it is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cxrsync.errors import DiskError, UsageError
from cxrsync.sanitize import is_address, reason_of, shown_word


def existing(path: Path, label: str, *, folder: bool = False, pipe: bool = False) -> Path:
    """Return ``path`` if it is a file (or a folder). With ``pipe``, a pipe will do.

    Raises UsageError otherwise; DiskError for a folder that we may not look at.
    """
    what = "folder" if folder else "file"
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        if is_address(str(path)):
            raise UsageError(
                f"{label} {shown_word(str(path))}: it is an address, not a {what} of this machine",
                next_step="Another server than PhysioNet is named with --base-url.",
            ) from None
        raise UsageError(
            f"{label} {shown_word(str(path))}: no such {what}", next_step=_near(path)
        ) from None
    except OSError as problem:
        kind = DiskError if folder and isinstance(problem, PermissionError) else UsageError
        raise kind(
            f"{label} {path}: {reason_of(problem)}",
            next_step=f"Name a {what} that you may read, or ask its owner for access.",
        ) from None
    if stat.S_ISDIR(mode) != folder:
        raise UsageError(
            f"{label} {path}: it is {'no folder' if folder else 'a folder'}",
            next_step=f"Name a {what}.",
        )
    if not (folder or pipe or stat.S_ISREG(mode)):
        raise UsageError(
            f"{label} {path}: it is not a regular file",
            next_step="Name a file; what a pipe or a device holds can be saved to one first.",
        )
    return path


def absolute(path: Path, label: str) -> Path:
    """Return the absolute path. Raises UsageError if the working directory was deleted."""
    try:
        return path.absolute()
    except OSError as problem:
        raise UsageError(
            f"{label} {path}: {reason_of(problem)}",
            next_step="The working directory is gone: change to another one, or give a path that "
            "begins with /.",
        ) from None


def _near(path: Path) -> str:
    """Return a sentence with the names in its folder that a mistyped path may mean."""
    import difflib  # here, because only errors need it

    parent = path.parent
    try:
        names = os.listdir(parent)
    except OSError:
        folder = shown_word(str(parent))
        return f"There is no folder {folder}, or you may not look into it: check the path."
    close = difflib.get_close_matches(path.name, names, n=2, cutoff=0.7)
    if not close:
        return "Check the path: it is relative to the working directory if it has no / in front."
    return f"Did you mean {' or '.join(str(parent / name) for name in close)}?"
