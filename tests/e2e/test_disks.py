"""Real disks that fill up, run out of inodes, die, turn read-only or go away in mid-run.

They are mounted for the purpose, which needs root; other ways to fail are in test_disk_errors.py.
"""

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e.stage import (
    JPG,
    VERSION,
    Ended,
    Machine,
    fingerprint,
    image_bytes_sent,
    wait_until,
)

from cxrsync.demo.server.server import MiniPhysioNet

SHARDS = ("--jpg", "--shard", "p10-p12")
RATE = 96 << 10
# linux/fs.h: FS_IOC_SHUTDOWN, _IOR('X', 125, __u32); without writing down anything of the journal.
_SHUT_DOWN = 0x8004587D
_NO_LOG_FLUSH = struct.pack("I", 2)


class Disk:
    """A file system of its own under ``folder``, on ``device``."""

    def __init__(self, folder: Path, kind: str, device: str) -> None:
        self.folder = folder
        self._kind = kind
        self._device = device

    def mount(self, options: str) -> None:
        words = ["mount", "-t", self._kind, "-o", options, self._device, str(self.folder)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"cannot mount {self._kind} here: {done.stderr.strip()}")

    def unmount(self, *options: str) -> None:
        subprocess.run(["umount", *options, self.folder], capture_output=True, check=False)

    def die(self) -> None:
        """From now on every call gets EIO, and what was not synced is lost."""
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUT_DOWN, _NO_LOG_FLUSH)
        finally:
            os.close(fd)

    def turn_read_only(self) -> None:
        """As ext4 does when it finds itself damaged, whatever is open for writing."""
        number = os.stat(self.folder).st_dev
        name = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve().name
        trigger = Path(f"/sys/fs/ext4/{name}/trigger_fs_error")
        if not trigger.exists():
            pytest.skip("this kernel cannot be asked for an error of ext4")
        trigger.write_text("a test\n")


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[Callable[[str], Disk]]:
    """Makes one disk of a kind; skips where that is not allowed."""
    if os.geteuid():
        pytest.skip("mounting needs root")
    disks: list[Disk] = []

    def make(kind: str) -> Disk:
        folder = tmp_path / "disk"
        folder.mkdir()
        if kind == "tmpfs":
            disks.append(Disk(folder, kind, kind))
            return disks[0]
        program = shutil.which(f"mkfs.{kind}")
        if program is None:
            pytest.skip(f"needs mkfs.{kind}")
        image = tmp_path / "image"
        with image.open("wb") as file:
            file.truncate(320 << 20)
        subprocess.run([program, "-q", str(image)], check=True)
        disks.append(Disk(folder, kind, str(image)))
        return disks[0]

    yield make
    for disk in disks:
        disk.unmount("-l")


@pytest.fixture
def slow(serve: Callable[..., MiniPhysioNet]) -> MiniPhysioNet:
    return serve(rate=RATE)


def image_bytes(root: Path) -> int:
    return sum(path.stat().st_size for path in (root / "files").rglob("*.jpg"))


def pull_until(machine: Machine, trouble: Callable[[], None]) -> Ended:
    """A pull that meets ``trouble`` once the first images are published."""
    process = machine.start("pull", "--json", "--progress", "none", *SHARDS)
    files = machine.dest / JPG / VERSION / "files"
    wait_until(lambda: any(files.rglob("*.jpg")) or process.poll() is not None)
    trouble()
    out, err = process.communicate(timeout=60)
    return Ended(process.returncode, out, err)


def stopped_in_good_order(ended: Ended) -> None:
    assert ended.code == 7, ended.err
    assert "run the same command again" in ended.err
    assert "Traceback" not in ended.err


def goes_on(machine: Machine, server: MiniPhysioNet, jpg: Path, published: set[str]) -> None:
    """The next run completes, and fetches nothing that was published."""
    root = machine.dest / JPG / VERSION
    right = fingerprint(jpg)
    there = fingerprint(root)
    assert there.items() <= right.items()
    assert published <= there.keys()
    server.request_log.reset()

    done = machine.pull(*SHARDS)

    assert done.code == 0, done.err
    asked = server.request_log.snapshot().by_path
    again = {path for path in there if asked.get(f"{JPG}/{VERSION}/{path}")}
    assert again <= {"SHA256SUMS.txt"}
    for shard in ("files/p10/", "files/p11/", "files/p12/"):
        assert fingerprint(root, below=shard) == fingerprint(jpg, below=shard)


@pytest.mark.parametrize(
    ("small", "large"),
    [("size=500k", "size=16m"), ("size=16m,nr_inodes=40", "size=16m,nr_inodes=9000")],
    ids=["full", "no inodes"],
)
def test_it_fills_up(
    make_disk: Callable[[str], Disk],
    machine: Machine,
    server: MiniPhysioNet,
    jpg: Path,
    small: str,
    large: str,
) -> None:
    """Begun by force although it will not fit."""
    disk = make_disk("tmpfs")
    disk.mount(f"{small},mode=0700")
    machine.dest = disk.folder
    full = machine.pull("--force", *SHARDS)
    stopped_in_good_order(full)
    status = machine.run("status", "--jpg", "--json")
    assert status.code in {0, 2}, status.err  # 2: not even the manifest found room

    disk.mount(f"remount,{large}")
    goes_on(machine, server, jpg, set())


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_it_dies(
    make_disk: Callable[[str], Disk],
    make_machine: Callable[[MiniPhysioNet], Machine],
    slow: MiniPhysioNet,
    jpg: Path,
    kind: str,
) -> None:
    """Every call fails from one moment to the next, and what was not synced is lost, as with a
    power cut: what the run has told as fetched is there all the same."""
    disk = make_disk(kind)
    disk.mount("loop")
    machine = make_machine(slow)
    machine.dest = disk.folder / "mirror"

    ended = pull_until(machine, disk.die)

    stopped_in_good_order(ended)
    disk.unmount()
    disk.mount("loop")
    told = [each for each in ended.events if each["event"] == "file"]
    published = {each["path"] for each in told if each["result"] == "fetched"}
    goes_on(machine, slow, jpg, published)


def test_it_turns_read_only(
    make_disk: Callable[[str], Disk],
    make_machine: Callable[[MiniPhysioNet], Machine],
    slow: MiniPhysioNet,
    jpg: Path,
) -> None:
    disk = make_disk("ext4")
    disk.mount("loop,errors=remount-ro")
    machine = make_machine(slow)
    machine.dest = disk.folder / "mirror"

    ended = pull_until(machine, disk.turn_read_only)

    stopped_in_good_order(ended)
    assert machine.run("status", "--jpg").code == 0
    assert machine.pull(*SHARDS).code == 7  # still
    disk.unmount()
    disk.mount("loop")
    goes_on(machine, slow, jpg, set())


def test_it_is_unmounted(
    make_disk: Callable[[str], Disk],
    make_machine: Callable[[MiniPhysioNet], Machine],
    slow: MiniPhysioNet,
    jpg: Path,
) -> None:
    """Lazily, so that open files go on and only names are gone: nothing may be written into the
    folder below."""
    disk = make_disk("ext4")
    disk.mount("loop")
    machine = make_machine(slow)
    machine.dest = disk.folder

    ended = pull_until(machine, lambda: disk.unmount("-l"))

    stopped_in_good_order(ended)
    assert not list(disk.folder.iterdir()), "written below the mount point"
    wait_until(lambda: not _is_in_use(disk))
    disk.mount("loop")
    before = image_bytes(machine.dest / JPG / VERSION)
    sent = image_bytes_sent(slow)
    assert 0 < before <= sent
    goes_on(machine, slow, jpg, set())


def _is_in_use(disk: Disk) -> bool:
    told = subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=False).stdout
    return str(disk.folder.with_name("image")) in told
