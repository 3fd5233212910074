"""``cxrsync words`` that is killed by SIGKILL at one call of one of its functions.

So a test says where a run dies, and needs no luck: ``python -m e2e.killed before 2
cxrsync.storage.trash:Trash.move mirror jobs.yaml`` dies before the second file is moved.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import wraps
from importlib import import_module
from itertools import count
from operator import attrgetter
from pathlib import Path
from typing import Any

from e2e.stage import PATIENCE, Machine


def run_killed(machine: Machine, when: str, number: int, place: str, *words: str) -> None:
    """Run a command that dies ``before`` or ``after`` the call of a function with this number, the
    first is 1. ``place``: ``module:function``."""
    done = subprocess.run(
        [sys.executable, "-m", "e2e.killed", when, str(number), place, *words],
        env={**machine.variables(), "PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr or f"it ended with {done.returncode}"


def _kill_at(when: str, number: int, place: str) -> None:
    """Replace a function by one that kills this process at one of its calls."""
    module, _, name = place.partition(":")
    owner_name, _, function = name.rpartition(".")
    owner: Any = import_module(module)
    owner = attrgetter(owner_name)(owner) if owner_name else owner
    real, calls = getattr(owner, function), count(1)

    @wraps(real)
    def deadly(*given: Any, **more: Any) -> Any:
        is_last = next(calls) == number
        if is_last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*given, **more)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, function, deadly)


if __name__ == "__main__":
    from cxrsync.cli.main import entry

    _kill_at(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    sys.argv = ["cxrsync", *sys.argv[4:]]
    entry()
