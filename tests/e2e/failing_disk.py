"""A user's machine whose disk fails on order: the command line in a child process that
``failing_disk.c`` was loaded into. One child serves many pulls, so that a table of faults is quick,
and shows what a run keeps open.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import json
import logging
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import astuple, dataclass
from io import StringIO
from pathlib import Path
from typing import IO, Any

from cxrsync.cli.main import run

SOURCE = Path(__file__).with_suffix(".c")
FOR_EVER = 0
PATIENCE = 60.0


@dataclass(frozen=True)
class Fault:
    """``times`` calls of a kind, from the ``first`` on, fail with ``error`` for paths that match
    the glob ``where``. The kinds are those of ``failing_disk.c``."""

    call: str
    where: str
    error: int = errno.EIO
    first: int = 1
    times: int = FOR_EVER

    def __str__(self) -> str:
        times = "for ever" if self.times == FOR_EVER else f"{self.times}x"
        where = self.where.removeprefix("*")
        return f"{self.call} {where} {errno.errorcode[self.error]} from {self.first}, {times}"


@dataclass(frozen=True)
class Told:
    """What became of one command: ``failed`` calls did, ``open_files`` were left in the end."""

    code: int
    out: str
    err: str
    failed: int
    open_files: int

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]

    @property
    def summary(self) -> dict[str, Any]:
        return self.events[-1]


def build(folder: Path) -> Path | None:
    """Compile the layer; None where that cannot be done."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        return None
    made = folder / "failing_disk.so"
    words = [compiler, "-shared", "-fPIC", "-o", str(made), str(SOURCE), "-ldl", "-lpthread"]
    subprocess.run(words, check=True)
    return made


class FailingDisk:
    """The machine. Give its commands one at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, *words: str, fault: Fault | None = None) -> Told:
        """Run one command line; while it runs the disk has ``fault``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"words": words, "fault": None if fault is None else astuple(fault)}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        if not ready:
            self._process.kill()
        assert ready, f"{words} hangs with {fault}"
        return Told(**json.loads(self._process.stdout.readline()))


@contextmanager
def failing_disk(layer: Path, environment: Mapping[str, str]) -> Iterator[FailingDisk]:
    """Start the machine, with nothing else in its environment."""
    above = str(SOURCE.parent.parent)
    process = subprocess.Popen(
        [sys.executable, "-m", "e2e.failing_disk"],
        env={**environment, "LD_PRELOAD": str(layer), "PYTHONPATH": above},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield FailingDisk(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


# ── in the child ───────────────────────────────────────────────────────────────────────────────


def _serve(orders: IO[str], answers: IO[str]) -> None:
    disk = ctypes.CDLL(None)
    for line in orders:
        order = json.loads(line)
        out, err = StringIO(), StringIO()
        logging.basicConfig(force=True, stream=err, level=logging.WARNING)
        call, where, *numbers = order["fault"] or ("", "", 0, 0, 0)
        gc.freeze()  # what was there before is not gone through at the end
        with redirect_stdout(out), redirect_stderr(err):
            disk.failing_disk_order(call.encode(), *numbers, where.encode())
            code = run(order["words"])
            failed = disk.failing_disk_failed()
            disk.failing_disk_order(b"", 0, 0, 0, b"")
            gc.collect()  # what was left open complains now
        told = Told(code, out.getvalue(), err.getvalue(), failed, len(os.listdir("/proc/self/fd")))
        answers.write(json.dumps(vars(told)) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve(sys.stdin, sys.stdout)
