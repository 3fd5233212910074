"""Every byte, or an error; a small file whole, or not at all."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cxrsync.errors import LockLost
from cxrsync.storage.atomic_write import write_all, write_file


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "data", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("count", [0, 1, 2, 511, 512, 513, 1_025, 5_000])
def test_any_number_of_chunks(fd: int, count: int) -> None:
    chunks = [bytes([number % 256]) * (number % 7) for number in range(count)]
    write_all(fd, chunks, 10)
    whole = b"".join(chunks)
    assert os.pread(fd, len(whole) + 11, 0) == (b"\0" * 10 + whole if whole else b"")


@pytest.mark.parametrize("most", [1, 2, 3, 5, 100])
def test_a_system_that_takes_a_little_at_a_time(
    fd: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def stingy(fd: int, buffers: Sequence[bytes | memoryview], offset: int) -> int:
        nonlocal calls
        calls += 1
        return os.pwrite(fd, b"".join(buffers)[:most], offset)

    monkeypatch.setattr(os, "pwritev", stingy)
    write_all(fd, [b"abc", b"", b"defgh", b"i"], 3)
    assert os.pread(fd, 100, 0) == b"\0\0\0abcdefghi"
    assert calls == -(-9 // most)


def test_writing_where_nobody_may(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    fd = os.open(tmp_path / "data", os.O_RDONLY)
    with pytest.raises(OSError, match="Bad file descriptor"):
        write_all(fd, [b"x"], 0)
    os.close(fd)


@pytest.mark.parametrize("fsync", [True, False])
def test_a_small_file_is_replaced_by_another(tmp_path: Path, *, fsync: bool) -> None:
    path = tmp_path / "small"
    umask = os.umask(0)
    write_file(path, b"a longer first", fsync=fsync)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("rb") as reader:
        write_file(path, b"second", fsync=fsync)
        assert reader.read() == b"a longer first"
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_it_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("sync"), sync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (steps.append("name"), replace(a, b)))
    write_file(tmp_path / "small", b"x")
    assert steps == ["sync", "name"]


@pytest.mark.parametrize("step", ["pwritev", "fsync", "replace"])
def test_a_failure_leaves_the_old_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "small"
    write_file(path, b"old")

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_at_once_are_not_in_each_others_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes may have the same number, on two machines."""
    path, replace = tmp_path / "small", os.replace

    def another_first(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "replace", replace)
        write_file(path, b"another")
        replace(source, target)

    monkeypatch.setattr(os, "replace", another_first)
    write_file(path, b"last")
    assert path.read_bytes() == b"last"
    assert list(tmp_path.iterdir()) == [path]


def test_without_proof_nothing_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "small"
    seen: list[int] = []

    def prove() -> None:
        seen.append(len(list(tmp_path.iterdir())))
        if len(seen) > 1:
            raise LockLost("another's by now")

    write_file(path, b"old", check_lock=prove)
    with pytest.raises(LockLost):
        write_file(path, b"new", check_lock=prove)
    assert seen == [1, 2]  # asked with the fresh file in place
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
