"""Who can read a file with a secret, and whether that is acceptable. The decision is pure.

A file of our own that others can read is a mistake, which ``chmod 600`` mends. A file that we
cannot change is what an administrator has decided: Docker and Kubernetes mount secrets read-only,
with the mode 0444 or 0440.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from enum import Enum
from pathlib import Path
from typing import NamedTuple

_ROOT = 0


class Exposure(Enum):
    """What others can do with a file. OPEN is a mistake; SHARED was decided by somebody else."""

    PRIVATE = "only its owner can read it"
    SHARED = "others can read it, as its owner decided"
    OPEN = "others can read it"


class Group(NamedTuple):
    """The group of a file. ``name``: None if the system has none for it. ``is_private``: nobody is
    in it but this user and root; ``is_ours``: this process is in it."""

    name: str | None
    is_private: bool = False
    is_ours: bool = False


def exposure(mode: int, owner: int, group: Group, *, user: int, read_only: bool) -> Exposure:
    """Return what others can do with a file of this mode, owner and group, on a mount that is
    ``read_only`` or not. ``user``: who asks."""
    by_group, by_all = mode & stat.S_IRGRP, mode & stat.S_IROTH
    if not by_all and (not by_group or group.is_private):
        return Exposure.PRIVATE
    if read_only:
        return Exposure.SHARED
    if by_all:
        return Exposure.OPEN
    # Of root, for a group that this process was put into: by hand, or by Kubernetes (fsGroup).
    is_given = group.is_ours and (owner != user or group.name is None)
    return Exposure.SHARED if is_given else Exposure.OPEN


def exposure_of(path: Path) -> Exposure:
    """Return what others can do with a file. Raises OSError."""
    found = os.stat(path)
    group = _group(found.st_gid)
    read_only = is_on_read_only_mount(path)
    return exposure(found.st_mode, found.st_uid, group, user=os.geteuid(), read_only=read_only)


def is_on_read_only_mount(path: Path) -> bool:
    """Return whether nobody can change a file by its path. Raises OSError."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _group(number: int) -> Group:
    is_ours = number in {os.getegid(), *os.getgroups()}
    try:
        known = grp.getgrgid(number)
    except (KeyError, OSError):
        return Group(None, is_ours=is_ours)
    try:
        user = pwd.getpwuid(os.geteuid())
    except (KeyError, OSError):
        return Group(known.gr_name, number == _ROOT, is_ours)
    # Most systems give each user a group with the user's own name.
    is_own = number == _ROOT or (number == user.pw_gid and known.gr_name == user.pw_name)
    is_private = is_own and {*known.gr_mem} <= {user.pw_name, "root"}
    return Group(known.gr_name, is_private, is_ours)
