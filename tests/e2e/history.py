"""Histories: what the publisher, the user and SIGKILL do to one tree between pulls of it.

Whatever came before, what the last pull calls complete is the publisher's manifest and bytes.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from e2e.command_line import cxrsync_process
from e2e.scripted import (
    MANIFEST,
    SLUG,
    VERSION,
    Request,
    ScriptedServer,
    differences,
    manifest_of,
    noise,
    sha256,
)

# Lines of files that nobody asks for: a manifest of more than a MiB is noted down while it comes.
_FILLER = 12_000
_CHOSEN = ("--include", "*.bin")


@dataclass(frozen=True)
class Pull:
    """A pull, killed once the server has sent so many bytes (None: to its end)."""

    kill_at: int | None = None
    address: str = "127.0.0.1"
    connections: int = 4


@dataclass(frozen=True)
class Change:
    """Something that somebody does to the tree or to what is published."""

    name: str


@dataclass
class History:
    """One tree, its publisher, and what was done so far."""

    place: Path
    server: ScriptedServer
    chance: random.Random
    filler: int = _FILLER
    done: list[str] = field(default_factory=list)
    _process: subprocess.Popen[str] | None = None
    _sent: int = 0
    _kill_at: int | None = None

    @property
    def dest(self) -> Path:
        return self.place / "mirror"

    @property
    def root(self) -> Path:
        return self.dest / SLUG / VERSION

    def publish(self) -> None:
        """The manifest of the real files, and of many that nobody asks for."""
        lines = manifest_of(self.server.files).splitlines(keepends=True)
        lines += [
            f"{sha256(b'%d' % n)} files/p19/p19000000/s50000000/{n:08}.jpg\n".encode()
            for n in range(self.filler)
        ]
        manifest = b"".join(sorted(lines, key=lambda line: line[65:]))
        if manifest != self.server.manifest:
            self.server.manifest = manifest
            self.server.published += 3600

    # ── pulls ──────────────────────────────────────────────────────────────────────────────────

    async def script(
        self, request: Request, writer: asyncio.StreamWriter, server: ScriptedServer
    ) -> bool | None:
        """Honest answers, a piece at a time; at the appointed byte the client is killed."""
        body, process = server.body(request.path), self._process
        if body is None or process is None or self._kill_at is None:
            return None
        start = request.range[0] if request.range else 0
        left = self._kill_at - self._sent
        if left > len(body) - start:
            self._sent += len(body) - start
            return None
        tag = f'"{sha256(body)[:16]}"' if server.tags else None
        head = [f"Content-Length: {len(body) - start}", *([f"ETag: {tag}"] if tag else [])]
        status = "200 OK"
        if start:
            if request.headers.get("if-range", tag) != tag or start >= len(body):
                return None
            status = "206 Partial Content"
            head.append(f"Content-Range: bytes {start}-{len(body) - 1}/{len(body)}")
        server.reply(writer, status, head, body[start : start + max(0, left)])
        await writer.drain()
        await asyncio.sleep(self.chance.choice((0.0, 0.3)))  # with and without a hand-over
        process.send_signal(signal.SIGKILL)  # this one: the next may have begun meanwhile
        return False

    def pull(self, step: Pull) -> int:
        """Run the command; returns its exit code (negative: killed)."""
        url = self.server.base_url.replace("127.0.0.1", step.address)
        self._sent, self._kill_at = 0, step.kill_at
        self._process = cxrsync_process(
            [
                *("-q", "pull", *_CHOSEN),
                *("--dataset", SLUG, "--dataset-version", VERSION, "--dest", str(self.dest)),
                *("--base-url", url, "--connections", str(step.connections), "--retries", "1"),
                *("--give-up-after", "5", "--stall-timeout", "5", "--force"),
            ],
            {"PATH": os.environ["PATH"], "HOME": str(self.place), "PYTHONWARNINGS": "error"},
        )
        _out, said = self._process.communicate(timeout=60)
        self._kill_at = None
        self.done.append(f"{step} → {self._process.returncode} {said[-300:]}")
        return self._process.returncode

    def check(self) -> None:
        """The last pull: it says complete, and it is."""
        code = self.pull(Pull())
        told = "\n".join(self.done)
        assert code == 0, told
        assert (self.root / MANIFEST).read_bytes() == self.server.body(MANIFEST), told
        wrong = [
            path for path in differences(self.dest, self.server.files) if path in self.server.files
        ]
        assert not wrong, f"{wrong}\n{told}"

    # ── what happens between them ──────────────────────────────────────────────────────────────

    def change(self, name: str) -> None:
        """Do one of :data:`CHANGES`."""
        self.done.append(name)
        CHANGES[name](self)
        self.publish()


def _append(history: History) -> None:
    number = len(history.server.files)
    history.server.files[f"zz{number:03}.bin"] = noise(f"{number}", 900)


def _grow(history: History) -> None:
    history.filler += history.chance.choice((1, 990, 9_000))


def _withdraw(history: History) -> None:
    if len(history.server.files) > 1:
        del history.server.files[min(history.server.files)]


def _replace(history: History) -> None:
    path = history.chance.choice(sorted(history.server.files))
    old = history.server.files[path]
    history.server.files[path] = noise(f"{path} {sha256(old)}", len(old))


def _resize(history: History) -> None:
    path = history.chance.choice(sorted(history.server.files))
    size = history.chance.choice((0, 10, 70_000, 5 << 20))
    history.server.files[path] = noise(f"{path} {size}", size)


def _untag(history: History) -> None:
    history.server.tags = not history.server.tags


def _touch(history: History) -> None:
    for path in (history.root / MANIFEST, *history.root.glob("*.bin")):
        if path.exists():
            os.utime(path)


def _copy_without_times(history: History) -> None:
    if history.dest.exists():
        history.dest.rename(history.place / "old")
        shutil.copytree(history.place / "old", history.dest, copy_function=shutil.copyfile)
        shutil.rmtree(history.place / "old")


def _cut_the_manifest(history: History) -> None:
    """As a disk, or another tool, leaves it."""
    path = history.root / MANIFEST
    if path.exists():
        data = path.read_bytes()
        path.write_bytes(data[: history.chance.randrange(len(data))])


def _flip_a_bit_of_the_manifest(history: History) -> None:
    path = history.root / MANIFEST
    if path.exists():
        times = path.stat()
        data = bytearray(path.read_bytes())
        data[history.chance.randrange(len(data))] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _cut_a_file(history: History) -> None:
    for path in sorted(history.root.glob("*.bin"))[:1]:
        path.write_bytes(path.read_bytes()[:100])


def _lose_our_folder(history: History) -> None:
    shutil.rmtree(history.root / ".cxrsync", ignore_errors=True)


def _lose_the_states(history: History) -> None:
    for path in history.root.glob(".cxrsync/*/state*"):
        path.unlink()


CHANGES: dict[str, Callable[[History], None]] = {
    "the publisher adds a file": _append,
    "the publisher adds many": _grow,
    "the publisher withdraws a file": _withdraw,
    "the publisher replaces a file": _replace,
    "the publisher changes a file's size": _resize,
    "the server's ETags come or go": _untag,
    "everything is touched": _touch,
    "the tree is copied without its times": _copy_without_times,
    "the manifest is cut": _cut_the_manifest,
    "a bit of the manifest flips": _flip_a_bit_of_the_manifest,
    "a file is cut": _cut_a_file,
    ".cxrsync is lost": _lose_our_folder,
    "the states are lost": _lose_the_states,
}


def play(place: Path, steps: list[Pull | Change], seed: int) -> None:
    """Live through a history, and look at what its last pull calls complete."""
    files = {f"{name}.bin": noise(name, size) for name, size in (("a", 3_000), ("b", 70_000))}
    with ScriptedServer(files) as server:
        history = History(place, server, random.Random(seed))
        server.script = history.script
        history.publish()
        for step in steps:
            if isinstance(step, Pull):
                history.pull(step)
            else:
                history.change(step.name)
        history.check()
