"""What `scripts/season` needs around the mirror: publisher, disk, and a watch on its trash."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

from cxrsync.demo.data.images import jpeg
from cxrsync.demo.data.tree import TreeSpec, make_tree
from cxrsync.demo.server import faults
from cxrsync.demo.server.faults import Fault
from cxrsync.storage.state_db import State
from cxrsync.storage.tree import Tree

SLUG = "mimic-cxr-jpg"
MANIFEST = "SHA256SUMS.txt"
# A file may be so many days longer in the trash: the run of an earlier night must have found it too
# old, too; a folder of the future gets a new date; and a run may begin later than the one before.
_SPARE_DAYS = 2.1
DAY = 86_400.0


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Publisher:
    """Publishes versions of one dataset, and changes them. ``unsigned``: versions whose agreement
    the user has not signed; their files answer 403. ``at``: the date of what is published."""

    def __init__(self, files: Path, chance: random.Random, patients: int) -> None:
        self.files = files
        self.chance = chance
        self.unsigned: set[str] = set()
        self.at = 0.0
        self.number = 0
        make_tree(files, SLUG, "2.0.0", TreeSpec(patients, 2_000))

    def root(self, version: str) -> Path:
        return self.files / SLUG / version

    def manifest(self, version: str) -> dict[str, str]:
        """Path and digest of each file that the version lists."""
        lines = (self.root(version) / MANIFEST).read_text().splitlines()
        return {line[65:]: line[:64] for line in lines}

    def some(self, version: str, count: int) -> list[str]:
        """So many images, by chance."""
        images = sorted(each for each in self.manifest(version) if each.endswith(".jpg"))
        return self.chance.sample(images, count)

    def release(self, version: str, former: str) -> None:
        """Publish a version: as the former one, with other bytes in some images, some images less,
        and some more. Files that do not change are hard links, as on the real site."""
        shutil.copytree(self.root(former), self.root(version), copy_function=os.link)
        self.replace(version, 5)
        self.withdraw(version, 3)
        self.add(version, 5)

    def replace(self, version: str, count: int) -> list[str]:
        paths = self.some(version, count)
        self._write(version, self.manifest(version), paths)
        return paths

    def withdraw(self, version: str, count: int) -> list[str]:
        paths = self.some(version, count)
        listed = self.manifest(version)
        for path in paths:
            (self.root(version) / path).unlink()
            del listed[path]
        self._write(version, listed, [])
        return paths

    def add(self, version: str, count: int, size: int = 2_000) -> None:
        # A name in the folder of an image that is there.
        paths = [f"{each[:-12]}{self.chance.getrandbits(32):08x}.jpg"
                 for each in self.some(version, count)]  # fmt: skip
        self._write(version, self.manifest(version), paths, size)

    def collapse(self, version: str) -> None:
        """Publish the first third of the manifest as if it were the whole."""
        lines = (self.root(version) / MANIFEST).read_text().splitlines(keepends=True)
        self._publish(version, "".join(lines[: len(lines) // 3]))

    def restore(self, version: str, listed: dict[str, str]) -> None:
        """Publish a manifest again."""
        self._write(version, listed, [])

    def fault(self, path: str, _attempt: int) -> Fault | None:
        """The agreement of a version covers all its files."""
        if path.split("/")[1] in self.unsigned:
            return faults.says(HTTPStatus.FORBIDDEN)
        return None

    def _write(
        self, version: str, listed: dict[str, str], paths: list[str], size: int = 2_000
    ) -> None:
        """Write images with new bytes, and the manifest."""
        root = self.root(version)
        for path in paths:
            self.number += 1
            (root / path).unlink(missing_ok=True)  # it may be linked into another version
            (root / path).write_bytes(jpeg(f"edition {self.number}", size))
            os.utime(root / path, (self.at, self.at))
            listed[path] = sha256(root / path)
        self._publish(version, "".join(f"{listed[path]} {path}\n" for path in sorted(listed)))

    def _publish(self, version: str, text: str) -> None:
        new = self.root(version) / f".{MANIFEST}"
        new.write_text(text)
        self.number += 1
        os.utime(new, (self.at + self.number, self.at + self.number))
        os.replace(new, self.root(version) / MANIFEST)


# ── the disk ─────────────────────────────────────────────────────────────────────────────────────


class Disk:
    """The disk of the mirror: a tmpfs of its own, or a folder where none may be mounted."""

    def __init__(self, folder: Path, *, is_mounted: bool) -> None:
        self.folder = folder
        self.is_mounted = is_mounted

    def fill(self, left: int) -> None:
        """Take all of its space but so many bytes."""
        state = os.statvfs(self.folder)
        free = state.f_bavail * state.f_frsize
        with (self.folder / "ballast").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free - left)

    def relieve(self) -> None:
        (self.folder / "ballast").unlink()


@contextmanager
def own_disk(folder: Path, size: str) -> Iterator[Disk]:
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    can = not os.geteuid() and shutil.which("mount") is not None
    is_mounted = can and not subprocess.run(words, capture_output=True, check=False).returncode
    try:
        yield Disk(folder, is_mounted=is_mounted)
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)


# ── what the tree must hold ──────────────────────────────────────────────────────────────────────


def files_of(root: Path) -> list[str]:
    """The paths of a tree's files, without the manifest and those of cxrsync itself."""
    paths = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(
        str(path) for path in paths if ".cxrsync" not in path.parts and path.name != MANIFEST
    )


def differences(root: Path, listed: dict[str, str]) -> list[str]:
    """How a tree differs from a manifest: every file is hashed."""
    there = set(files_of(root))
    wrong = [f"{path} is missing" for path in sorted(listed.keys() - there)]
    wrong += [f"{path} is too many" for path in sorted(there - listed.keys())]
    both = sorted(there & listed.keys())
    return wrong + [f"{path} is wrong" for path in both if sha256(root / path) != listed[path]]


def proofs(root: Path) -> dict[str, float]:
    """When each file of a tree was verified, by its states."""
    found = {}
    for folder in sorted((root / ".cxrsync").glob("*")):
        state = State.read(Tree(root).partition(folder.name)) if folder.is_dir() else None
        if state is not None:
            with state:
                found.update({each.path: each.verified_at for each in state.records()})
    return found


@dataclass
class TrashWatch:
    """Compares the trash after each night with what must be there.

    ``due``: path and digest of what is to come into the trash; ``held``: when it came.
    """

    dest: Path
    keep: float
    due: set[tuple[str, str]] = field(default_factory=set)
    held: dict[tuple[str, str], float] = field(default_factory=dict)

    def look(self, now: float) -> list[str]:
        """What is wrong with the trash at a time."""
        there = self.content()
        wrong = []
        for each in sorted(there - self.held.keys()):
            if each in self.due:
                self.due.remove(each)
            else:
                wrong.append(f"{each[0]} is in the trash, and should not be")
            self.held[each] = now
        for each in sorted(self.held.keys() - there):
            age = (now - self.held.pop(each)) / DAY
            if age <= self.keep / DAY:
                wrong.append(f"{each[0]} left the trash after {age:.1f} days")
        for each in sorted(there):
            age = (now - self.held[each]) / DAY
            if age > self.keep / DAY + _SPARE_DAYS:
                wrong.append(f"{each[0]} is in the trash for {age:.1f} days")
        return wrong

    def content(self) -> set[tuple[str, str]]:
        """Path below the folder of a run, and digest, of each file in the trash. A whole tree may
        be there: its manifest, states and logs are left out."""
        return {
            (path.partition("/")[2], sha256(trash / path))
            for trash in self.dest.glob("*/*/.cxrsync/trash")
            for path in files_of(trash)
        }


class Clock:
    """Goes on from the time it was set to."""

    def __init__(self, at: float) -> None:
        self.set(at)

    def set(self, at: float) -> None:
        self._offset = at - time.time()

    def __call__(self) -> float:
        return time.time() + self._offset

    def __str__(self) -> str:
        return datetime.fromtimestamp(self(), UTC).strftime("%d %b %Y")
