"""What ``cxrsync demo`` shows: a pull is killed half-way, resumed, and verified."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cxrsync.demo.data.tree import Tree, TreeSpec, make_tree
from cxrsync.demo.server.behaviour import ServerBehaviour
from cxrsync.demo.server.server import MiniPhysioNet

_MAX_SECONDS_UNTIL_KILL = 60.0
_MAX_SECONDS_UNTIL_END = 5.0


# Paths in JSON's quotes, which are YAML's, too.
_JOB_FILE = """\
# A mirror of the miniature server: p10 of MIMIC-CXR-JPG. docs/nightly.md explains the keys.
defaults:
  dest: {dest}
  base_url: {base_url}
{ca_file}  allow_synced: true              # the data is synthetic
  scrub: 30d
jobs:
  - name: jpg
    dataset: mimic-cxr-jpg
    dataset_version: "2.1.0"      # or latest, to follow the newest version
    shard: p10
log: nightly.log
report: report.html
"""


@dataclass(frozen=True, slots=True)
class DemoSetup:
    """The demo's folder and server, and how to run cxrsync with them."""

    folder: Path
    server: MiniPhysioNet

    @property
    def dest(self) -> Path:
        return self.folder / "mirror"

    @property
    def _ca_file(self) -> str | None:
        return None if self.server.behaviour.plain else str(self.server.ca_file)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that a user would export to use the demo's server."""
        trusted = {} if self._ca_file is None else {"CXRSYNC_CA_FILE": self._ca_file}
        return {
            "CXRSYNC_BASE_URL": self.server.base_url,
            **trusted,
            "CXRSYNC_DEST": str(self.dest),
            "CXRSYNC_ALLOW_SYNCED": "1",  # the data is synthetic
            "PHYSIONET_USERNAME": self.server.behaviour.username,
            "PHYSIONET_PASSWORD": self.server.behaviour.password,
        }

    @property
    def job_file(self) -> str:
        """A job file for a mirror of the demo's server. The password comes by the environment."""
        return _JOB_FILE.format(
            dest=json.dumps(str(self.folder / "nightly")),
            base_url=json.dumps(self.server.base_url),
            ca_file="" if self._ca_file is None else f"  ca_file: {json.dumps(self._ca_file)}\n",
        )

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start ``cxrsync`` with these arguments against this server."""
        return subprocess.Popen(  # noqa: S603 - this interpreter, arguments of our own
            [sys.executable, "-m", "cxrsync", *arguments], env={**os.environ, **self.environment}
        )


def space_needed(patients: int) -> tuple[int, int]:
    """Return how many bytes, and how many files and folders, a demo with so many patients makes:
    the three trees, and the shard that is pulled. Measured, and rounded up."""
    return 4_000_000 + 750_000 * patients, 500 + 32 * patients


def make_trees(folder: Path, patients: int) -> list[Tree]:
    """The synthetic datasets that the demo serves."""
    spec = TreeSpec(patients=patients, image_bytes=40_000)
    return [
        make_tree(folder, dataset, version, spec)
        for dataset, version in (
            ("mimic-cxr-jpg", "2.1.0"),
            ("mimic-cxr-jpg", "2.0.0"),
            ("mimic-cxr", "2.1.0"),
        )
    ]


def set_up(
    folder: Path, *, patients: int, rate: int | None, port: int = 0, plain: bool = False
) -> DemoSetup:
    """Make the trees and start the server, with ``plain`` without TLS. The caller stops ``server``
    at the end."""
    make_trees(folder / "files", patients)
    behaviour = ServerBehaviour(rate=rate, plain=plain)
    server = MiniPhysioNet(folder / "files", behaviour, certificates=folder, port=port)
    server.start()
    return DemoSetup(folder, server)


def run_walkthrough(setup: DemoSetup, write: Callable[[str], None]) -> int:
    """Pull, kill, resume, verify. Returns 0, or the exit code of the command that failed."""
    request_log = setup.server.request_log
    pull = ("pull", "--jpg", "--shard", "p10")
    root = setup.folder / "files" / "mimic-cxr-jpg" / "2.1.0"
    whole = sum(path.stat().st_size for path in (root / "files" / "p10").rglob("*.jpg"))

    write("$ cxrsync pull --jpg --shard p10")
    first = setup.start(*pull)
    deadline = time.monotonic() + _MAX_SECONDS_UNTIL_KILL
    try:
        while request_log.snapshot().bytes_sent < whole / 2 and first.poll() is None:
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        first.send_signal(signal.SIGKILL)
    finally:
        _wait_for(first)
    half = request_log.snapshot()
    write("")
    write(f"  killed with SIGKILL half-way: the server has sent {half.bytes_sent:,} bytes in")
    write(f"  {half.requests} requests, with {half.password_checks} password check")
    write("")
    write("$ cxrsync pull --jpg --shard p10      # the same command again")
    code = _wait_for(setup.start(*pull))
    done = request_log.snapshot()
    images = sum(count.bytes_sent for path, count in done.by_path.items() if path.endswith(".jpg"))
    write("")
    write(f"  the images have {whole:,} bytes; the server sent {images:,} of them in both runs:")
    write(f"  the kill cost {max(0, images - whole):,} bytes")
    write("")
    write("$ cxrsync verify --jpg")
    return _wait_for(setup.start("verify", "--jpg")) or code


def _wait_for(process: subprocess.Popen[bytes]) -> int:
    """Return the exit code of a command. It has ended, also after Ctrl-C, which it gets, too."""
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_MAX_SECONDS_UNTIL_END)
            process.terminate()
            process.wait()
