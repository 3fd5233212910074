"""Whether a git work tree would take the destination in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import PurePosixPath

from cxrsync.preflight.destination import DestinationInfo

# What git needs of our environment. Nothing else goes along: neither a password of ours, nor what
# names another repository than the one of the folder (GIT_DIR, as it is set inside a git hook).
_FOR_GIT = (
    *("PATH", "LD_LIBRARY_PATH", "HOME", "XDG_CONFIG_HOME"),
    *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"),
)
_GIT_SECONDS = 5.0


def find_work_tree(destination: DestinationInfo) -> PurePosixPath | None:
    """The top of the git work tree that the place is in, by its ``.git``; None where there is
    none."""
    for folder in (destination.place, *destination.place.parents):
        if not destination.hidden.get(folder, frozenset()).isdisjoint({".git", ".git/"}):
            return folder
    return None


def ignore_rule(place: PurePosixPath, tree: PurePosixPath) -> str:
    """The line for ``.gitignore`` at the top of ``tree`` that makes git ignore ``place``."""
    below = place.relative_to(tree).as_posix()
    return "*" if below == "." else "/" + re.sub(r"([\\*?\[])", r"\\\1", below) + "/"


def is_ignored(place: PurePosixPath, tree: PurePosixPath) -> bool | None:
    """Whether git, in the work tree ``tree``, ignores what will lie in ``place``.

    None where git cannot tell: it is not installed, will not trust the tree's owner, or says
    nothing for five seconds.
    """
    git = shutil.which("git")
    if git is None:
        return None
    # A name in there, since a rule for folders (data/) does not fit one that is not made yet, and
    # one that is nobody's, so that a rule for one kind of file (*.dcm) does not pass for all.
    # --no-index: what was added once may be large, and says nothing of what will come.
    inside = str(place / "whatever")
    words = [git, "-C", str(tree), "check-ignore", "--quiet", "--no-index", "--", inside]
    try:
        done = subprocess.run(  # noqa: S603 - the words are ours, and no shell reads them
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
