"""A pull for `scripts/sleepers`: locks are silent after so many seconds, and it may stop itself.

    sleeper.py SILENCE STOP-AT [WORDS OF THE COMMAND …]

STOP-AT: the call that changes the disk before which it sends itself SIGSTOP, counted from 1 (0:
none of them).
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


def main(silence: float, stop_at: int, words: list[str]) -> int:
    lock.SILENT_SECONDS = silence
    # As many beats as there really are.
    lock.HEARTBEAT_SECONDS = silence / 10
    if not stop_at:
        return run(words)
    from storage.steps import stopped_at

    def stop() -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    with stopped_at(stop_at - 1, stop):
        return run(words)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
