"""A process other than this one that runs as long as the tests do."""

import os

from cxrsync.storage.lock_owner import start_of, this_process


def another_process() -> dict[str, str | int]:
    """Return what a run of that process writes of itself in its progress file."""
    pid = os.getppid()
    return {**this_process(), "pid": pid, "start": start_of(pid) or ""}
