"""One of the processes with which `scripts/races` tests a lock: one round per line of stdin.

It waits for a random time before every file operation of the lock, and may be killed there.
"""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cxrsync.errors import Locked, LockLost
from cxrsync.storage import lock as module


@dataclass(frozen=True)
class Round:
    """One round. ``acts``: how often the holder acts.

    ``silence``: after how many seconds an owner is silent. ``dies_at``: the file operation before
    which the racer is killed.
    """

    folder: str
    seed: float
    silence: float
    acts: int = 3
    dies_at: int = 0
    tells: bool = False


@dataclass
class Delays:
    """Random delays before each file operation, and the longest time between two heartbeats."""

    rng: random.Random = field(default_factory=random.Random)
    dies_at: int = 0
    steps: int = 0
    last_beat: float = 0.0
    longest: float = 0.0

    def wait_or_die(self) -> None:
        self.steps += 1
        if self.steps == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        # Mostly no or a short delay; sometimes one in which other processes do much.
        time.sleep(self.rng.choice((0.0, 0.0, 0.0, 0.001, 0.03 * self.rng.random())))

    def delay(self, name: str) -> None:
        """Replace a function of ``os`` by one that waits first."""
        real = getattr(os, name)

        @functools.wraps(real)
        def call(*words: Any, **options: Any) -> Any:
            self.wait_or_die()
            began = time.monotonic()
            found = real(*words, **options)
            if name == "rename":  # to a new name: a heartbeat
                self.note_gap()
                self.last_beat = began
            return found

        setattr(os, name, call)

    def note_gap(self) -> None:
        if self.last_beat:
            self.longest = max(self.longest, time.monotonic() - self.last_beat)


def race() -> None:
    """Run the rounds that stdin names; print how each ended."""
    real_open, real_write = os.open, os.write
    delays = Delays()
    for name in ("open", "mkdir", "rename", "unlink", "rmdir", "listdir", "read", "fsync"):
        delays.delay(name)
    module.HEARTBEAT_SECONDS = 0.05
    module.sleep = lambda seconds: time.sleep(float(seconds) / 25)
    for line in sys.stdin:
        task = Round(**json.loads(line))
        delays.__init__(random.Random(task.seed), task.dies_at)  # type: ignore[misc]
        module.SILENT_SECONDS = task.silence
        journal = real_open(f"{task.folder}/journal", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

        def note(word: str, seconds: float = 0.0, journal: int = journal) -> None:
            real_write(journal, f"{os.getpid()} {word} {seconds}\n".encode())

        lock = module.Lock(Path(task.folder), wait=60)
        try:
            lock.acquire()
            note("begin")
            lock.forget_replaced(lock.replaced_owners())
            if task.tells:
                print("held", flush=True)
            for _act in range(task.acts):
                began = time.monotonic()
                lock.check()
                delays.wait_or_die()
                note("act", time.monotonic() - began)
            ending = "end"
        except LockLost:
            ending = "lost"
        except Locked as problem:
            ending = f"locked: {problem}"
        delays.note_gap()
        if ending in {"end", "lost"}:
            note(ending, delays.longest)
        lock.release()
        os.close(journal)
        print(ending, flush=True)


if __name__ == "__main__":
    race()
