"""A small pull that is recorded, and what is asked of each tree that power loss can leave of it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from e2e.stage import Machine, fingerprint
from power.model import Disk, Fate, Operation, Survivor, Syncing
from power.recording import record

from cxrsync.demo.data.tree import MARKER

SLUG = "power"
VERSION = "1.0"
PLACE = f"{SLUG}/{VERSION}/"
MANIFEST = "SHA256SUMS.txt"
SHORT = "files/p10/p10000001/s50000001/image-000.dcm"
WORDS = ("--dataset", SLUG, "--dataset-version", VERSION)
MANIFEST_BYTES = 3 << 19
# Twice each, since one throw of dice tells little; the others leave nothing to chance.
FATES = (
    *((fate, 0) for fate in (Fate.KEPT, Fate.SYNCED, Fate.HOLLOW, Fate.UNEVEN, Fate.EMPTY)),
    *((fate, throw) for fate in (Fate.ORDERED, Fate.ANY) for throw in (1, 2)),
)


@dataclass(frozen=True, slots=True)
class Published:
    """A version at the source, and the digest of each of its files, the manifest's among them."""

    root: Path
    digests: dict[str, str]


def publish_dataset(files_root: Path, images: int, archive_bytes: int) -> Published:
    """A dataset in two shards: images, two of them of the same bytes, and a large archive."""
    root = files_root / SLUG / VERSION
    root.mkdir(parents=True)
    (files_root / MARKER).touch()
    contents = {"archive.zip": hashlib.shake_128(b"archive").digest(archive_bytes)}
    for number in range(images):
        patient = f"p1{number % 2}/p1{number % 2}00000{number % 7 + 1}/s5000000{number % 3 + 1}"
        name = SHORT if number == 0 else f"files/{patient}/image-{number:03}.dcm"
        size = 3_000 + 997 * (number % 13)
        contents[name] = hashlib.shake_128(name.encode()).digest(size)
    contents["files/p11/p11000009/s50000009/again.dcm"] = contents[SHORT]
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    lines = "".join(f"{digests[name]} {name}\n" for name in sorted(digests))
    # Blank lines mean nothing. With them the manifest arrives in several hand-overs.
    contents[MANIFEST] = lines.encode() + (b" " * 60 + b"\n") * (MANIFEST_BYTES // 61)
    digests[MANIFEST] = hashlib.sha256(contents[MANIFEST]).hexdigest()
    for number, (name, data) in enumerate(contents.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (1_500_000_000 + number, 1_500_000_000 + number))
    return Published(root, digests)


def leave_short(published: Published, dest: Path) -> dict[str, bytes]:
    """What wget left of one file before the first pull; the bytes by their place below ``dest``."""
    beginning = (published.root / SHORT).read_bytes()[:1_000]
    path = dest / PLACE / SHORT
    path.parent.mkdir(parents=True)
    path.write_bytes(beginning)
    return {PLACE + SHORT: beginning}


@dataclass
class Rehearsal:
    """One recorded pull. ``before``: how many operations made what was there before it;
    ``left``: what another tool had left under final names."""

    published: Published
    operations: list[Operation]
    before: int
    left: dict[str, bytes]
    _digests: dict[tuple[object, ...], str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many operations the pull was."""
        return len(self.operations) - self.before

    def moments(self, operations: list[Operation], wanted: Iterable[int]) -> Iterator[Disk]:
        """The disk after each wanted number of operations, counted from the start of the pull. It
        is the same disk each time: to be looked at before the next."""
        numbers = set(wanted)
        disk = Disk(operations[: self.before])
        if 0 in numbers:
            yield disk
        for count, operation in enumerate(operations[self.before :], start=1):
            disk.ask(operation)
            if count in numbers:
                yield disk

    def at(self, moment: int) -> Disk:
        """The disk after so many operations of the pull."""
        return Disk(self.operations[: self.before + moment])

    def wrong(self, survivor: Survivor) -> list[str]:
        """The final names whose bytes are neither what is published nor what was there before."""
        found = []
        for path, inode in survivor.files():
            if self._is_final(path) and not self._is_right(survivor, path, inode):
                content = self.left.get(path)
                if content is None or survivor.content(inode) != content:
                    found.append(path)
        return found

    def right(self, survivor: Survivor) -> set[str]:
        """The paths in the version whose files are there and right."""
        return {
            path.removeprefix(PLACE)
            for path, inode in survivor.files()
            if self._is_final(path) and self._is_right(survivor, path, inode)
        }

    def while_under_way(self, name: str) -> list[int]:
        """The moments at which a file of ours, whose name is matched by ``name``, had bytes that
        were not yet synced."""
        pattern = re.compile(re.escape(f"{PLACE}.cxrsync/") + name)
        found = []
        for disk in self.moments(self.operations, range(self.count + 1)):
            for path, inode in disk.after_power_loss(Fate.KEPT).files():
                if pattern.fullmatch(path) and disk.has_under_way(inode):
                    found.append(disk.count - self.before)
        return found

    def unsynced(self) -> list[Operation]:
        """The same operations without the pull's syncs: what they are good for."""
        own = self.operations[self.before :]
        kept = [each for each in own if not isinstance(each, Syncing)]
        return self.operations[: self.before] + kept

    def _is_final(self, path: str) -> bool:
        return path.startswith(PLACE) and ".cxrsync" not in path.split("/")

    def _is_right(self, survivor: Survivor, path: str, inode: int) -> bool:
        identity = survivor.identity(inode)
        if identity not in self._digests:
            self._digests[identity] = hashlib.sha256(survivor.content(inode)).hexdigest()
        return self._digests[identity] == self.published.digests.get(path.removeprefix(PLACE))


def rehearse(machine: Machine, published: Published, log: Path, *options: str) -> Rehearsal:
    """Record a pull onto what wget left. Raises CalledProcessError where it fails."""
    left = leave_short(published, machine.dest)
    command = [sys.executable, "-m", "cxrsync", "-q", "pull", *WORDS, *options]
    operations, before = record(command, machine.dest, log, machine.variables())
    return Rehearsal(published, operations, before, left)


def build(survivor: Survivor, dest: Path) -> None:
    """Make on a real disk what power loss left. A file with two names has two names."""
    for folder in survivor.folders():
        (dest / folder).mkdir(mode=0o700, parents=True)
    names: dict[int, Path] = {}
    for path, inode in survivor.files():
        if inode in names:
            os.link(names[inode], dest / path)
            continue
        names[inode] = dest / path
        names[inode].write_bytes(survivor.content(inode))
        names[inode].chmod(0o600)
        mtime_ns = survivor.mtime_ns(inode)
        if mtime_ns is not None:
            os.utime(names[inode], ns=(mtime_ns, mtime_ns))


def next_runs(machine: Machine, rehearsal: Rehearsal, survivor: Survivor) -> list[str]:
    """What is wrong with what cxrsync makes of the tree: `verify` and `status` before the next
    pull, the pull, the tree after it. Empty: nothing."""
    shutil.rmtree(machine.dest, ignore_errors=True)
    machine.dest.mkdir()
    build(survivor, machine.dest)
    right = rehearsal.right(survivor)
    complaints = []
    verified = machine.run("verify", "--all", *WORDS)
    if verified.code == 0 and right != rehearsal.published.digests.keys():
        complaints.append("verify takes for complete what is not")
    told = machine.run("status", "--all", "--json", *WORDS)
    if told.code == 0:
        shares = json.loads(told.out)["partitions"].values()
        if sum(share["verified"] for share in shares) > len(right - {MANIFEST}):
            complaints.append("status takes for present what is missing or wrong")
    done = machine.pull(*WORDS)
    if done.code != 0:
        complaints.append(f"the next pull ends with {done.code}: {done.err.strip()}")
    elif fingerprint(machine.dest / PLACE) != fingerprint(rehearsal.published.root):
        complaints.append("the tree after the next pull is not the source's")
    return complaints
