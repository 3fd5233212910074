"""What ``cxrsync demo`` shows a person: a pull is killed half-way, goes on, and is verified."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cxrsync.demo.data.tree import Tree, TreeSpec, make_tree
from cxrsync.demo.server.behaviour import ServerBehaviour
from cxrsync.demo.server.server import MiniPhysioNet

_KILL_PATIENCE = 60.0
# Slow enough that a person sees it work, quick enough that nobody waits.
DEMO_RATE = 128 << 10


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the demo takes place: a folder of its own, a server, and how to call cxrsync there."""

    folder: Path
    server: MiniPhysioNet

    @property
    def dest(self) -> Path:
        return self.folder / "mirror"

    @property
    def environment(self) -> dict[str, str]:
        """What a person would export to use the demo's server."""
        return {
            "CXRSYNC_BASE_URL": self.server.base_url,
            "CXRSYNC_CA_FILE": str(self.server.ca_file),
            "CXRSYNC_DEST": str(self.dest),
            "CXRSYNC_ALLOW_SYNCED": "1",  # synthetic: nobody's data
            "PHYSIONET_USERNAME": self.server.behaviour.username,
            "PHYSIONET_PASSWORD": self.server.behaviour.password,
        }

    def command(self, *words: str) -> subprocess.Popen[bytes]:
        """Start ``cxrsync`` as a person would, against this server."""
        return subprocess.Popen(  # noqa: S603 - our own interpreter, our own words
            [sys.executable, "-m", "cxrsync", *words], env={**os.environ, **self.environment}
        )


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


def open_stage(folder: Path, *, patients: int, rate: int | None, port: int = 0) -> Stage:
    """Make the trees and start the server. Stop ``stage.server`` when done."""
    make_trees(folder / "files", patients)
    server = MiniPhysioNet(
        folder / "files", ServerBehaviour(rate=rate), certificates=folder, port=port
    )
    server.start()
    return Stage(folder, server)


def show(stage: Stage, say: Callable[[str], None]) -> int:
    """Pull, kill, go on, verify; returns the exit code of the verification."""
    request_log = stage.server.request_log
    pull = ("pull", "--jpg", "--shard", "p10")
    root = stage.folder / "files" / "mimic-cxr-jpg" / "2.1.0"
    whole = sum(path.stat().st_size for path in (root / "files" / "p10").rglob("*.jpg"))

    say("$ cxrsync pull --jpg --shard p10")
    first = stage.command(*pull)
    deadline = time.monotonic() + _KILL_PATIENCE
    while request_log.snapshot().bytes_sent < whole / 2 and first.poll() is None:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    half = request_log.snapshot()
    say("")
    say(f"  killed with SIGKILL half-way: {half.bytes_sent:,} bytes were sent, in")
    say(f"  {half.requests} requests, with {half.password_checks} password check")
    say("")
    say("$ cxrsync pull --jpg --shard p10      # the same command again")
    code = stage.command(*pull).wait()
    done = request_log.snapshot()
    images = sum(count.bytes_sent for path, count in done.by_path.items() if path.endswith(".jpg"))
    say("")
    say(f"  the images are {whole:,} bytes; the server sent {images:,} for them in both runs:")
    say(f"  {max(0, images - whole):,} bytes were lost to the kill")
    say("")
    say("$ cxrsync verify --jpg")
    return stage.command("verify", "--jpg").wait() or code
