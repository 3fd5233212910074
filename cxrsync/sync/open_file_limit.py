"""Keep the number of open files of a run below the limit of the system (``ulimit -n``).

The soft limit is raised as far as the run needs and the hard limit allows. If that is not enough,
the run uses fewer connections and smaller batches from the beginning: reaching the limit later
would end the run.
"""

from __future__ import annotations

import os
import resource
import sys
from typing import NamedTuple

from cxrsync.sync.publisher import BATCH_FILES

# Python itself, the states of eleven partitions with their journals, manifests, run logs.
_FIXED = 64
# For each file that is hashed or copied: the original and the copy.
_PER_CORE = 2
# The socket and the partial.
_PER_CONNECTION = 2
# One batch that is being published, two that wait, and one that is read from an archive.
_BATCHES = 4
# Assumed if the open files cannot be counted: the standard streams, the event loop's, some more.
_ASSUMED_OPEN = 16


class FileBudget(NamedTuple):
    """The number of connections of a run, and of files that it publishes together."""

    connections: int
    batch_files: int


def files_needed(connections: int, cores: int) -> int:
    """Return the largest number of files that a run holds open, with full batches."""
    busy = _PER_CORE * cores + _PER_CONNECTION * connections
    return _FIXED + busy + _BATCHES * BATCH_FILES


def fit_budget(available: int, connections: int, cores: int) -> FileBudget:
    """Return the connections and the batch size that ``available`` open files allow.

    Connections get at most half of the files that are left, because each of them fills batches. At
    least one connection and one file are allowed.
    """
    spare = available - _FIXED - _PER_CORE * cores
    connections = max(1, min(connections, spare // 2 // _PER_CONNECTION))
    batch = (spare - _PER_CONNECTION * connections) // _BATCHES
    return FileBudget(connections, max(1, min(batch, BATCH_FILES)))


def file_budget(connections: int) -> tuple[FileBudget, int]:
    """Return the budget of a run with so many connections, and the process's limit of open files.

    Raises the soft limit if necessary and possible.
    """
    cores = os.cpu_count() or 1
    open_now = _count_open_files()
    limit = _raise_limit(open_now + files_needed(connections, cores))
    return fit_budget(limit - open_now, connections, cores), limit


def _raise_limit(wanted: int) -> int:
    """Raise the soft limit of open files towards ``wanted``; return the limit afterwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return sys.maxsize
    if soft >= wanted:
        return soft
    target = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    except (OSError, ValueError):  # a sandbox may forbid it
        return soft
    return target


def _count_open_files() -> int:
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return _ASSUMED_OPEN
