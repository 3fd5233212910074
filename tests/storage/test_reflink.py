"""Files of an older version brought over, on real file systems of each kind."""

import errno
import fcntl
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cxrsync.config.job import Link
from cxrsync.storage import reflink
from cxrsync.storage.disk_space import FreeSpace
from cxrsync.storage.reflink import RESERVE, clone_link_or_copy

DATA = bytes(range(256)) * 4_096 + b"and an odd end"
OTHER = b"somebody else's"
YEARS_AGO = 1_500_000_000_000_000_000
REFLINK, HARDLINK, COPY = Link.REFLINK, Link.HARDLINK, Link.COPY


# ── places ─────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def mounted(where: Path, *how: str) -> Iterator[Path]:
    """A file system at ``where``; the test is skipped where we may not mount one."""
    where.mkdir()
    done = subprocess.run(["mount", *how, str(where)], capture_output=True, text=True, check=False)
    if done.returncode:
        [why, *_] = [*done.stderr.splitlines(), "mount does not say why"]
        pytest.skip(f"mounting a file system is not possible here: {why}")
    try:
        yield where
    finally:
        # Lazily: a descriptor that a failed test left open must not keep it mounted.
        subprocess.run(["umount", "--lazy", str(where)], check=True)


@pytest.fixture(scope="module", params=["xfs -m reflink=1", "btrfs"])
def disk(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A small file system that can clone."""
    kind, *options = request.param.split()
    mkfs = shutil.which(f"mkfs.{kind}", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if mkfs is None:
        pytest.skip(f"mkfs.{kind} is not installed")
    # Not in a folder of pytest's: it could not clean up what a killed run leaves mounted.
    with tempfile.TemporaryDirectory(prefix="cxrsync-disk-") as folder:
        image = Path(folder, "image")
        image.touch()
        os.truncate(image, 320 << 20)  # of holes; XFS wants 300 MiB at the least
        subprocess.run([mkfs, "-q", *options, str(image)], check=True, capture_output=True)
        with mounted(Path(folder, "disk"), "-o", "loop", str(image)) as disk:
            yield disk


@pytest.fixture
def cloning(disk: Path) -> Iterator[Path]:
    """A folder on a file system that can clone."""
    with tempfile.TemporaryDirectory(dir=disk) as folder:
        yield Path(folder)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder on a file system that cannot clone."""
    if not os.path.ismount("/dev/shm"):
        pytest.skip("no file system in memory at /dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
def elsewhere(tmp_path: Path, memory: Path) -> Iterator[Path]:
    """A folder on another file system than tmp_path's, which may be in memory, too."""
    for parent in (memory, Path("/var/tmp"), Path.cwd()):
        if parent.stat().st_dev != tmp_path.stat().st_dev:
            with tempfile.TemporaryDirectory(prefix="cxrsync-test-", dir=parent) as folder:
                yield Path(folder)
            return
    pytest.skip("there is one file system only")


@pytest.fixture
def no_clones(monkeypatch: pytest.MonkeyPatch) -> None:
    """tmp_path may lie on a file system that can clone, or not: here it cannot."""
    refuse(monkeypatch, fcntl, "ioctl", errno.EOPNOTSUPP)


def refuse(monkeypatch: pytest.MonkeyPatch, module: object, call: str, number: int) -> None:
    def refused(*_args: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module, call, refused)


def make(folder: Path, data: bytes = DATA) -> Path:
    """A published file of an older version."""
    original = folder / "original.jpg"
    original.write_bytes(data)
    original.chmod(0o640)
    os.utime(original, ns=(YEARS_AGO, YEARS_AGO))
    return original


def kept(original: Path, data: bytes = DATA) -> bool:
    """Whether the original is as it was made, its time and its mode too."""
    found = original.stat()
    looks = (found.st_mtime_ns, found.st_mode & 0o7777)
    return original.read_bytes() == data and looks == (YEARS_AGO, 0o640)


def check(original: Path, target: Path, done: Link, data: bytes = DATA) -> None:
    """The target is what ``done`` says, and the original as before."""
    assert target.read_bytes() == data
    assert target.samefile(original) == (done is HARDLINK)
    if done is not HARDLINK:
        assert target.stat().st_mode & 0o7777 == 0o600
        assert target.stat().st_mtime_ns > YEARS_AGO
    assert kept(original, data)


# ── each way, on each kind of file system ──────────────────────────────────────────────────────


@pytest.mark.parametrize("how", Link)
@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=len)
def test_where_clones_are_made(cloning: Path, how: Link, data: bytes) -> None:
    original, target = make(cloning, data), cloning / "target"
    assert clone_link_or_copy(str(original), target, how) is how
    check(original, target, how, data)


@pytest.mark.parametrize(("how", "done"), [(REFLINK, COPY), (HARDLINK, HARDLINK), (COPY, COPY)])
@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=len)
def test_where_none_are(memory: Path, how: Link, done: Link, data: bytes) -> None:
    original, target = make(memory, data), memory / "target"
    before = os.umask(0)
    try:
        assert clone_link_or_copy(str(original), target, how) is done
    finally:
        os.umask(before)
    check(original, target, done, data)


@pytest.mark.parametrize("how", Link)
def test_from_one_file_system_to_another(tmp_path: Path, elsewhere: Path, how: Link) -> None:
    original, target = make(elsewhere), tmp_path / "target"
    assert clone_link_or_copy(str(original), target, how) is COPY
    check(original, target, COPY)


def test_from_one_that_clones_to_another(cloning: Path, tmp_path: Path) -> None:
    original, target = make(cloning), tmp_path / "target"
    assert clone_link_or_copy(str(original), target, REFLINK) is COPY
    check(original, target, COPY)


@pytest.mark.parametrize(("how", "least", "most"), [(REFLINK, 0, 0.1), (COPY, 0.9, 1.3)])
def test_a_clone_takes_no_room_and_a_copy_its_own(
    cloning: Path, how: Link, least: float, most: float
) -> None:
    size = 16 << 20

    def free() -> int:
        # Room is taken only when the bytes reach the disk.
        subprocess.run(["sync", "-f", str(cloning)], check=True)
        found = os.statvfs(cloning)
        return found.f_bfree * found.f_frsize

    original = make(cloning, os.urandom(size))
    before = free()
    assert clone_link_or_copy(str(original), cloning / "target", how) is how
    assert least * size <= before - free() <= most * size


@pytest.mark.parametrize("changed", ["original.jpg", "target"])
def test_a_clone_and_its_original_do_not_know_each_other(cloning: Path, changed: str) -> None:
    original, target = make(cloning), cloning / "target"
    clone_link_or_copy(str(original), target, REFLINK)
    this, that = (original, target) if changed == original.name else (target, original)
    with this.open("r+b") as file:
        file.write(b"changed")
        file.truncate(100_000)
    assert that.read_bytes() == DATA
    this.unlink()
    assert that.read_bytes() == DATA


# ── what may not be brought, and what stands in the way ────────────────────────────────────────


@pytest.mark.parametrize("how", Link)
@pytest.mark.parametrize(
    ("begin", "number"),
    [
        (lambda path: path.symlink_to("file"), errno.ELOOP),
        (lambda path: path.symlink_to("nowhere"), errno.ELOOP),
        (lambda path: path.mkdir(), errno.EINVAL),
        (lambda path: os.mkfifo(path), errno.EINVAL),
        (lambda path: None, errno.ENOENT),
    ],
    ids=["link", "dangling", "folder", "pipe", "none"],
)
def test_only_regular_files(
    tmp_path: Path, how: Link, begin: Callable[[Path], None], number: int
) -> None:
    (tmp_path / "file").write_bytes(DATA)
    target = tmp_path / "target"
    target.write_bytes(b"so far")
    begin(tmp_path / "original")
    with pytest.raises(OSError) as caught:
        clone_link_or_copy(str(tmp_path / "original"), target, how)
    assert caught.value.errno == number
    assert target.read_bytes() == b"so far"


@pytest.mark.parametrize("how", Link)
@pytest.mark.parametrize("put", ["link", "symlink_to"])
def test_what_stands_there_is_unlinked_and_not_written_to(
    tmp_path: Path, how: Link, put: str
) -> None:
    original, target, other = make(tmp_path), tmp_path / "target", tmp_path / "other"
    other.write_bytes(OTHER)
    if put == "link":
        target.hardlink_to(other)
    else:
        target.symlink_to(other)
    check(original, target, clone_link_or_copy(str(original), target, how))
    assert not target.is_symlink()
    assert other.read_bytes() == OTHER


@pytest.mark.usefixtures("no_clones")
def test_a_name_that_becomes_a_link_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, target = make(tmp_path), tmp_path / "target"
    real = os.link

    def swap(source: str, name: Path, *, follow_symlinks: bool) -> None:
        original.rename(tmp_path / "moved")
        original.symlink_to("moved")
        real(source, name, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "link", swap)
    assert clone_link_or_copy(str(original), target, HARDLINK) is COPY
    assert not target.is_symlink()
    check(tmp_path / "moved", target, COPY)


@pytest.mark.parametrize("how", Link)
def test_a_name_that_somebody_takes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Link
) -> None:
    original, target, other = make(tmp_path), tmp_path / "target", tmp_path / "other"
    other.write_bytes(OTHER)
    monkeypatch.setattr(Path, "unlink", lambda path, **_options: path.hardlink_to(other))
    with pytest.raises(FileExistsError):
        clone_link_or_copy(str(original), target, how)
    assert target.read_bytes() == OTHER
    assert kept(original)


# ── a system that cannot, and one that fails ───────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name", ["EOPNOTSUPP", "ENOTTY", "EXDEV", "EINVAL", "ENOSYS", "EPERM", "EBADF"]
)
def test_clones_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    original, target = make(tmp_path), tmp_path / "target"
    refuse(monkeypatch, fcntl, "ioctl", getattr(errno, name))
    assert clone_link_or_copy(str(original), target, REFLINK) is COPY
    check(original, target, COPY)


@pytest.mark.usefixtures("no_clones")
@pytest.mark.parametrize("name", ["EXDEV", "EMLINK", "EPERM", "ENOTSUP"])
def test_hard_links_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    original, target = make(tmp_path), tmp_path / "target"
    refuse(monkeypatch, os, "link", getattr(errno, name))
    assert clone_link_or_copy(str(original), target, HARDLINK) is COPY
    check(original, target, COPY)


def test_without_hard_links_a_clone_is_next(cloning: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, target = make(cloning), cloning / "target"
    refuse(monkeypatch, os, "link", errno.EMLINK)
    assert clone_link_or_copy(str(original), target, HARDLINK) is REFLINK
    check(original, target, REFLINK)


@pytest.mark.usefixtures("no_clones")
@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=len)
@pytest.mark.parametrize("name", ["EINVAL", "ENOSYS", "ENOTSOCK"])
def test_a_system_that_cannot_send(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes
) -> None:
    original, target = make(tmp_path, data), tmp_path / "target"
    refuse(monkeypatch, os, "sendfile", getattr(errno, name))
    assert clone_link_or_copy(str(original), target, COPY) is COPY
    check(original, target, COPY, data)


@pytest.mark.usefixtures("no_clones")
def test_a_system_that_sends_a_little_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, target = make(tmp_path), tmp_path / "target"
    send, counts = os.sendfile, iter([1, 7, 4_096])
    monkeypatch.setattr(
        os, "sendfile", lambda to, of, at, most: send(to, of, at, next(counts, most))
    )
    assert clone_link_or_copy(str(original), target, COPY) is COPY
    check(original, target, COPY)


@pytest.mark.parametrize(
    ("module", "call", "how", "name"),
    [
        (fcntl, "ioctl", REFLINK, "EIO"),
        (fcntl, "ioctl", REFLINK, "ENOSPC"),
        (os, "link", HARDLINK, "EACCES"),
        (os, "link", HARDLINK, "EROFS"),
        (os, "sendfile", COPY, "EIO"),
    ],
)
def test_a_failure_leaves_no_target(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: object,
    call: str,
    how: Link,
    name: str,
) -> None:
    original = make(tmp_path)
    refuse(monkeypatch, module, call, getattr(errno, name))
    with pytest.raises(OSError) as caught:
        clone_link_or_copy(str(original), tmp_path / "target", how)
    assert caught.value.errno == getattr(errno, name)
    assert os.listdir(tmp_path) == [original.name]
    assert kept(original)


def test_a_copy_that_breaks_off_leaves_no_target(tmp_path: Path) -> None:
    original = make(tmp_path)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(DATA) // 2, limit[1]))
    try:
        with pytest.raises(OSError) as caught:
            clone_link_or_copy(str(original), tmp_path / "target", COPY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert caught.value.errno == errno.EFBIG
    assert os.listdir(tmp_path) == [original.name]
    assert kept(original)


def test_sending_that_fails_half_way_does_not_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = make(tmp_path)
    send = os.sendfile

    def once(to: int, of: int, at: int, _most: int) -> int:
        if at:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return send(to, of, at, 4_096)

    monkeypatch.setattr(os, "sendfile", once)
    with pytest.raises(OSError, match="Invalid argument"):
        clone_link_or_copy(str(original), tmp_path / "target", COPY)
    assert os.listdir(tmp_path) == [original.name]


# ── room ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("no_clones")
@pytest.mark.parametrize("how", Link)
def test_a_copy_leaves_the_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Link
) -> None:
    original, target = make(tmp_path), tmp_path / "target"
    refuse(monkeypatch, os, "link", errno.EMLINK)
    free = len(DATA) + RESERVE
    monkeypatch.setattr(reflink, "free_space", lambda _folder: FreeSpace(free - 1, None))
    with pytest.raises(OSError) as caught:
        clone_link_or_copy(str(original), target, how)
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == [original.name]
    assert kept(original)
    monkeypatch.setattr(reflink, "free_space", lambda _folder: FreeSpace(free, 0))
    assert clone_link_or_copy(str(original), target, how) is COPY


@pytest.mark.parametrize("how", [REFLINK, HARDLINK])
def test_clones_and_links_need_no_room(
    cloning: Path, monkeypatch: pytest.MonkeyPatch, how: Link
) -> None:
    original, target = make(cloning), cloning / "target"
    monkeypatch.setattr(reflink, "free_space", lambda _folder: FreeSpace(0, 0))
    assert clone_link_or_copy(str(original), target, how) is how
    check(original, target, how)


@pytest.mark.parametrize("reserve", [RESERVE, -RESERVE], ids=["seen", "met on the way"])
def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reserve: int) -> None:
    original = make(tmp_path)
    monkeypatch.setattr(reflink, "RESERVE", reserve)
    with (
        tempfile.TemporaryDirectory(prefix="cxrsync-disk-") as folder,
        mounted(Path(folder, "small"), "-t", "tmpfs", "-o", "size=512k", "tmpfs") as small,
    ):
        with pytest.raises(OSError) as caught:
            clone_link_or_copy(str(original), small / "target", REFLINK)
        assert caught.value.errno == errno.ENOSPC
        assert os.listdir(small) == []
    assert kept(original)
