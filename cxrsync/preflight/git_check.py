"""Checks whether a destination is in a git work tree that does not ignore it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import PurePosixPath

from cxrsync.preflight.destination import DestinationInfo

# The variables that git needs. It gets no others: neither our passwords, nor variables that name
# another repository than the folder's (GIT_DIR, which is set inside a git hook).
_FOR_GIT = (
    *("PATH", "LD_LIBRARY_PATH", "HOME", "XDG_CONFIG_HOME"),
    *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"),
)
_GIT_SECONDS = 5.0


def find_work_tree(destination: DestinationInfo) -> PurePosixPath | None:
    """Return the top of the git work tree that contains the destination, or None."""
    for folder in (destination.place, *destination.place.parents):
        if not destination.hidden.get(folder, frozenset()).isdisjoint({".git", ".git/"}):
            return folder
    return None


def ignore_rule(place: PurePosixPath, tree: PurePosixPath) -> str:
    """Return the line for ``.gitignore`` at the top of ``tree`` that makes git ignore ``place``."""
    below = place.relative_to(tree).as_posix()
    return "*" if below == "." else "/" + re.sub(r"([\\*?\[])", r"\\\1", below) + "/"


def is_ignored(place: PurePosixPath, tree: PurePosixPath) -> bool | None:
    """Return whether git, in the work tree ``tree``, ignores files that will be in ``place``.

    None if git cannot say: it is not installed, does not trust the tree's owner, or does not answer
    within five seconds.
    """
    git = shutil.which("git")
    if git is None:
        return None
    # Ask about a name inside: a rule for folders (data/) does not match a folder that does not
    # exist yet. The name has no extension: a rule for one kind of file (*.dcm) must not count for
    # all. --no-index: files that were added before say nothing about new ones, and may be many.
    inside = str(place / "whatever")
    words = [git, "-C", str(tree), "check-ignore", "--quiet", "--no-index", "--", inside]
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments, and no shell
            words,
            env={name: os.environ[name] for name in _FOR_GIT if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {0: True, 1: False}.get(done.returncode)
