"""Works on a state as a run does, and writes down what was committed: to be recorded, or killed.

python -m power.state_writer FOLDER TOLD
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cxrsync.model import FileRecord
from cxrsync.storage.state_db import State

TOKEN = "b" * 32
BATCHES = 5
BATCH = 40


def row(path: str) -> FileRecord:
    return FileRecord(path, "a" * 64, 1, 1_721_736_000_000_000_001, "https://x", '"tag"', 1.5e9)


def rows_of(batch: str) -> list[FileRecord]:
    """The rows of one commit, spread over the whole range of paths."""
    return [row(f"files/p10/{number:04}-{batch}.jpg") for number in range(BATCH)]


def work(folder: Path, told: Path) -> None:
    """Commit batches, publish in between, close; a line in ``told`` for what was committed."""
    with told.open("a") as lines:
        state, _aside = State.open(folder, "now", token=TOKEN)
        with state:
            for batch in range(BATCHES):
                state.record(rows_of(f"b{batch}"), at=1.0)
                lines.write(f"b{batch}\n")
                lines.flush()
                os.fsync(lines.fileno())
                if batch in {0, 2}:
                    state.publish()


if __name__ == "__main__":
    work(Path(sys.argv[1]), Path(sys.argv[2]))
