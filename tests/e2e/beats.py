"""How long a command says nothing, by a clock that stands still while the command does.

The clock is a thread of the command that counts its own short sleeps, less the time for which a
thread of the command waited for a processor. So on a loaded machine it is as late as the rest of
the process, and a silence of so many beats is the program's own.
"""

from __future__ import annotations

import builtins
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

BEAT = 0.05
RECORD, LIMIT, SLOW_DISK = "E2E_BEATS", "E2E_BEATS_LIMIT", "E2E_SLOW_DISK"
_DISK_SECONDS = 0.5


def recorded(record: Path, *, seconds: float, slow_disk: Path | None = None) -> dict[str, str]:
    """Variables for a process that is forked: note in ``record`` when it writes to stderr, and
    interrupt it after so many seconds of its clock, as Ctrl-C does. What lies below ``slow_disk``
    takes its time."""
    variables = {RECORD: str(record), LIMIT: str(round(seconds / BEAT))}
    return variables | ({} if slow_disk is None else {SLOW_DISK: str(slow_disk)})


def seconds_of_silence(record: Path) -> tuple[float, float]:
    """The longest time without a byte on stderr, and when the last byte came, by the clock of the
    process."""
    beats = [0, *map(int, record.read_text().split())]
    return max(later - earlier for earlier, later in pairwise(beats)) * BEAT, beats[-1] * BEAT


# ── in the child ───────────────────────────────────────────────────────────────────────────────


def begin(environment: Mapping[str, str]) -> None:
    """Record what :func:`recorded` asks for, if it does."""
    if RECORD in environment:
        clock = _Clock(environment[RECORD], int(environment[LIMIT]))
        raw = _Noted(clock.note)
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True
        )
        threading.Thread(target=clock.run, name="beats", daemon=True).start()
    if SLOW_DISK in environment:
        _slow_down(environment[SLOW_DISK])


class _Clock:
    def __init__(self, record: str, limit: int) -> None:
        self._record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._limit = limit
        self._beats = 0

    def note(self) -> None:
        os.write(self._record, b"%d\n" % self._beats)

    def run(self) -> None:
        lived, now, waited = 0.0, time.monotonic(), _waited()
        while True:
            time.sleep(BEAT)
            before, now = now, time.monotonic()
            waited_before, waited = waited, _waited()
            late = sum(each - waited_before.get(task, 0.0) for task, each in waited.items())
            lived += min(BEAT, max(0.0, now - before - late))
            was, self._beats = self._beats, round(lived / BEAT)
            if was < self._limit <= self._beats:
                os.kill(os.getpid(), signal.SIGINT)


def _waited() -> dict[str, float]:
    """The seconds for which each thread of this process could have run, and had no processor."""
    found = {}
    for task in os.listdir("/proc/self/task"):
        # A thread may have ended since; not every kernel counts.
        with suppress(OSError), open(f"/proc/self/task/{task}/schedstat", encoding="ascii") as file:
            found[task] = int(file.read().split()[1]) / 1e9
    return found


class _Noted(io.FileIO):
    """Standard error. Each write is noted."""

    def __init__(self, note: Callable[[], None]) -> None:
        super().__init__(2, "w", closefd=False)
        self._note = note

    def write(self, data: Any, /) -> int | None:
        self._note()
        return super().write(data)


def _slow_down(folder: str) -> None:
    """Let every look below a folder take its time, as on a network's file system."""
    for module, name in ((os, "lstat"), (os, "scandir"), (os, "open"), (builtins, "open")):
        _slow_down_function(module, name, folder)


def _slow_down_function(module: Any, name: str, folder: str) -> None:
    quick = getattr(module, name)

    def slow(path: Any, *words: Any, **options: Any) -> Any:
        if not isinstance(path, int) and os.fsdecode(path).startswith(folder):
            time.sleep(_DISK_SECONDS)
        return quick(path, *words, **options)

    setattr(module, name, slow)
