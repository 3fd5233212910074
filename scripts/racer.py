"""One of the processes that `scripts/races` lets loose on a lock: a round for each line of stdin.

It takes its time before every file operation of the lock, and may be killed there.
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
    """``acts``: how often the holder acts. ``dies_at``: the file operation before which the racer
    is killed. ``silence``: after how many seconds an owner is silent."""

    folder: str
    seed: float
    silence: float
    acts: int = 3
    dies_at: int = 0
    tells: bool = False


@dataclass
class Chance:
    """Random delays before each file operation; and the longest time between two beats."""

    dice: random.Random = field(default_factory=random.Random)
    dies_at: int = 0
    steps: int = 0
    beaten: float = 0.0
    longest: float = 0.0

    def meet(self) -> None:
        self.steps += 1
        if self.steps == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        # Mostly none or a short one; a few in which everybody else does much.
        time.sleep(self.dice.choice((0.0, 0.0, 0.0, 0.001, 0.03 * self.dice.random())))

    def slow(self, name: str) -> None:
        """Make a function of ``os`` meet a delay first."""
        real = getattr(os, name)

        @functools.wraps(real)
        def call(*words: Any, **options: Any) -> Any:
            self.meet()
            began = time.monotonic()
            found = real(*words, **options)
            if name == "rename":  # to a name not borne before: a beat
                self.note_gap()
                self.beaten = began
            return found

        setattr(os, name, call)

    def note_gap(self) -> None:
        if self.beaten:
            self.longest = max(self.longest, time.monotonic() - self.beaten)


def race() -> None:
    """Play the rounds that are named on stdin; say on stdout how each ended."""
    real_open, real_write = os.open, os.write
    chance = Chance()
    for name in ("open", "mkdir", "rename", "unlink", "rmdir", "listdir", "read", "fsync"):
        chance.slow(name)
    module.HEARTBEAT_SECONDS = 0.05
    module.sleep = lambda seconds: time.sleep(seconds / 25)
    for line in sys.stdin:
        task = Round(**json.loads(line))
        chance.__init__(random.Random(task.seed), task.dies_at)  # type: ignore[misc]
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
                chance.meet()
                note("act", time.monotonic() - began)
            ending = "end"
        except LockLost:
            ending = "lost"
        except Locked as problem:
            ending = f"locked: {problem}"
        chance.note_gap()
        if ending in {"end", "lost"}:
            note(ending, chance.longest)
        lock.release()
        os.close(journal)
        print(ending, flush=True)


if __name__ == "__main__":
    race()
