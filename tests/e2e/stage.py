"""A user's machine: the command line, a destination, and what it left there."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e.command_line import Ended, cxrsync, cxrsync_process

from cxrsync.demo.server import faults
from cxrsync.demo.server.server import MiniPhysioNet

__all__ = [
    "DICOM", "JPG", "PATIENCE", "VERSION", "Ended", "HeldImages", "Machine", "files_below",
    "fingerprint", "image_bytes_sent", "sha256sum", "wait_until",
]  # fmt: skip

JPG = "mimic-cxr-jpg"
DICOM = "mimic-cxr"
VERSION = "2.1.0"
PATIENCE = 60.0


@dataclass
class Machine:
    """Runs cxrsync against ``base_url`` into ``dest``, with nothing else in its environment.

    ``environment`` adds variables, or, with None, takes one away.
    """

    home: Path
    dest: Path
    base_url: str
    ca_file: Path
    environment: dict[str, str | None] = field(default_factory=dict)

    def variables(self) -> dict[str, str]:
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "PYTHONWARNINGS": "error",
            "CXRSYNC_DEST": str(self.dest),
            "CXRSYNC_BASE_URL": self.base_url,
            "CXRSYNC_CA_FILE": str(self.ca_file),
            "PHYSIONET_USERNAME": "demo",
            "PHYSIONET_PASSWORD": "demo-password",
            **self.environment,
        }
        return {name: value for name, value in variables.items() if value is not None}

    def run(self, *words: str) -> Ended:
        """Run a command in this process."""
        return cxrsync(words, self.variables())

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command in a process of its own."""
        return cxrsync_process(words, self.variables(), **options)

    def run_process(self, *words: str, timeout: float = PATIENCE, **options: Any) -> Ended:
        """Run a command in a process of its own, to its end."""
        with self.start(*words, **options) as process:
            out, err = process.communicate(timeout=timeout)
        return Ended(process.returncode, out, err)

    def run_unread(self, *words: str) -> tuple[int, str]:
        """Exit code and stderr of a command whose stdout nobody reads, as behind ``head``."""
        process = self.start(*words)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        with process.stderr:
            said = process.stderr.read()
        return process.wait(timeout=PATIENCE), said

    def pull(self, *words: str) -> Ended:
        return self.run("pull", "--json", "--progress", "none", *words)

    def interrupt(self, when: Callable[[], bool], number: signal.Signals, *words: str) -> Ended:
        """Start a pull, and send it a signal as soon as ``when`` says so."""
        process = self.start("pull", "--json", "--progress", "none", *words)
        wait_until(lambda: when() or process.poll() is not None)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
        return Ended(process.returncode, out, err)


class HeldImages:
    """Faults of a server: the last third of a shard's images waits in its middle for :meth:`go_on`.
    So no pull comes to its end while something has to happen meanwhile."""

    def __init__(self, version: Path, shard: str = "p10") -> None:
        paths = sorted((version / "files" / shard).rglob("*.jpg"))
        self._held = {
            path.relative_to(version.parents[1]).as_posix(): path.stat().st_size // 2
            for path in paths[len(paths) * 2 // 3 :]
        }
        self._released = threading.Event()

    def __call__(self, path: str, _attempt: int) -> faults.Fault | None:
        return faults.does(self._held[path], self._wait) if path in self._held else None

    def go_on(self) -> None:
        self._released.set()

    def _wait(self) -> None:
        self._released.wait(PATIENCE)


def wait_until(condition: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Poll for something that another process does; fails loudly when it does not."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def files_below(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        if path.is_file() and ".cxrsync" not in path.relative_to(root).parts:
            yield path.relative_to(root)


def fingerprint(root: Path, *, below: str = "") -> dict[str, tuple[str, int]]:
    """Every file of a tree (ours left out): digest and mtime in whole seconds."""
    found: dict[str, tuple[str, int]] = {}
    for folder, names, files in os.walk(root):  # several times as fast as rglob
        names[:] = [name for name in names if name != ".cxrsync"]
        for name in files:
            path = f"{folder}/{name}"
            within = path[len(str(root)) + 1 :]
            if within.startswith(below) and name != ".cxrsync" and os.path.isfile(path):
                with open(path, "rb") as file:
                    digest = hashlib.sha256(file.read()).hexdigest()
                found[within] = (digest, int(os.stat(path).st_mtime))
    return dict(sorted(found.items()))


def sha256sum(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """GNU's own opinion."""
    return subprocess.run(
        ["sha256sum", "--quiet", *options, "-c", "SHA256SUMS.txt"],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip


JOB_DEFAULTS = f"""
defaults:
  dest: ${{CXRSYNC_DEST}}
  base_url: ${{CXRSYNC_BASE_URL}}
  ca_file: ${{CXRSYNC_CA_FILE}}
  dataset_version: "{VERSION}"
"""
"""The beginning of a job file for a :class:`Machine`; more defaults may follow."""


def image_requests(server: MiniPhysioNet) -> int:
    counts = server.request_log.snapshot().by_path
    return sum(each.requests for path, each in counts.items() if "/files/" in path)


def image_bytes_sent(server: MiniPhysioNet) -> int:
    counts = server.request_log.snapshot().by_path
    return sum(each.bytes_sent for path, each in counts.items() if "/files/" in path)
