"""How many files a run holds open, and what the system lets it (``ulimit -n``).

The soft limit is raised as far as the run needs, and the hard one allows. Where that is too little
the run does with less from the beginning: a limit that is met in the middle would end it.
"""

from __future__ import annotations

import os
import resource
import sys
from typing import NamedTuple

from cxrsync.sync.publisher import BATCH_FILES

# Python itself, the states of eleven partitions with their journals, manifests, run logs.
_FIXED = 64
# Of a file that is hashed or taken over: it, and what it becomes.
_PER_CORE = 2
# The socket, and the partial.
_PER_CONNECTION = 2
# A batch that is published, two that wait for it, and one that comes from an archive.
_BATCHES = 4
# Where it cannot be told: the standard streams, the event loop's, and some.
_USUALLY_OPEN = 16


class Share(NamedTuple):
    """What a run may use: connections, and files that are published together."""

    connections: int
    batch_files: int


def needed(connections: int, cores: int) -> int:
    """How many files a run holds open at the most, when nothing is spared."""
    busy = _PER_CORE * cores + _PER_CONNECTION * connections
    return _FIXED + busy + _BATCHES * BATCH_FILES


def fit(room: int, connections: int, cores: int) -> Share:
    """What of it fits into ``room``: of what is left over, half for the connections at the most,
    for each of them needs somewhere to put its files; at least one of either."""
    spare = room - _FIXED - _PER_CORE * cores
    connections = max(1, min(connections, spare // 2 // _PER_CONNECTION))
    batch = (spare - _PER_CONNECTION * connections) // _BATCHES
    return Share(connections, max(1, min(batch, BATCH_FILES)))


def share_of(connections: int) -> tuple[Share, int]:
    """What a run that was to have so many connections may use in this process, and how many files
    the process may hold open. Raises its limit where that is needed and possible."""
    cores = os.cpu_count() or 1
    there = _open_now()
    limit = _allow(there + needed(connections, cores))
    return fit(limit - there, connections, cores), limit


def _allow(wanted: int) -> int:
    """Let this process hold ``wanted`` files open, as far as it may; how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return sys.maxsize
    if soft >= wanted:
        return soft
    aim = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (aim, hard))
    except (OSError, ValueError):  # as in a sandbox
        return soft
    return aim


def _open_now() -> int:
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return _USUALLY_OPEN
