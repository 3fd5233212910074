"""A cxrsync for `scripts/sleepers`: it has a short silence of locks, and can stop itself.

    sleeper.py SILENCE STOP-AT [ARGUMENTS OF CXRSYNC …]

SILENCE: after so many seconds a lock is silent. STOP-AT: the process sends itself SIGSTOP before
the call with this number (from 1) that changes the disk; 0: never.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "tests"))

from cxrsync.cli.main import run
from cxrsync.storage import lock


def main(silence: float, stop_at: int, arguments: list[str]) -> int:
    lock.SILENT_SECONDS = silence
    # As many heartbeats per silence as in a real run.
    lock.HEARTBEAT_SECONDS = silence / 10
    if not stop_at:
        return run(arguments)
    from storage.steps import stopped_at

    def stop() -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    with stopped_at(stop_at - 1, stop):
        return run(arguments)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
