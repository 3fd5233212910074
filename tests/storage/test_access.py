"""Modes, groups and access control lists, without another user."""

import os
import stat
import struct
from pathlib import Path

import pytest

from cxrsync.storage.access import OWNER_ONLY, Access, possible_access
from cxrsync.storage.posix_acl import with_mode

READ = Access(0o440, 0o2750, None)
OWNER, USER, GROUP, NAMED_GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20


def acl(*entries: tuple[int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *each, 7) for each in entries)


def test_an_acl_gets_the_mode_and_keeps_its_entries() -> None:
    before = acl((OWNER, 6), (USER, 7), (GROUP, 0), (NAMED_GROUP, 5), (MASK, 0), (OTHER, 4))
    after = acl((OWNER, 4), (USER, 7), (GROUP, 4), (NAMED_GROUP, 5), (MASK, 4), (OTHER, 0))
    assert with_mode(before, 0o440) == after
    assert with_mode(after, 0o440) == after


@pytest.mark.parametrize(
    "text", [b"", b"\2\0\0\0x", b"\1" + acl((MASK, 7))[1:], acl((OWNER, 6), (GROUP, 4), (OTHER, 0))]
)
def test_what_chmod_alone_changes(text: bytes) -> None:
    assert with_mode(text, 0o440) == text


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_files_and_folders(tmp_path: Path) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.touch(0o600)
    folder.mkdir(0o700)
    assert READ.set_on(file)
    assert READ.set_on(folder)
    assert (mode(file), mode(folder)) == (0o440, 0o2750)
    assert OWNER_ONLY.set_on(file)
    assert OWNER_ONLY.set_on(folder)
    assert (mode(file), mode(folder)) == (0o600, 0o700)


def test_a_file_with_another_name_stays(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch(0o600)
    (tmp_path / "other").hardlink_to(file)
    assert not READ.set_on(file)
    assert mode(file) == 0o600
    file.chmod(0o440)
    assert READ.set_on(file)  # it has them already


def test_what_is_no_file_of_ours(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.touch(0o600)
    (tmp_path / "link").symlink_to(outside)
    with pytest.raises(OSError, match="symbolic links"):
        READ.set_on(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert not READ.set_on(tmp_path / "pipe")
    assert {mode(tmp_path / name) for name in ("outside", "pipe")} == {0o600}


def test_a_group_that_cannot_be_set_gets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file must not become readable to the group that it has."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    file = tmp_path / "file"
    file.touch(0o600)
    monkeypatch.setattr(os, "fchown", refuse)
    wanted = Access(0o440, 0o2750, file.stat().st_gid + 1)
    assert not wanted.set_on(file)
    assert mode(file) == 0o600
    assert possible_access(tmp_path, wanted) is None
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_sandbox_that_forbids_the_setgid_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RestrictSUIDSGID= of systemd."""
    real = os.fchmod

    def fchmod(file: int, mode: int) -> None:
        if mode & 0o2000:
            raise PermissionError(1, "Operation not permitted")
        real(file, mode)

    monkeypatch.setattr(os, "fchmod", fchmod)
    assert possible_access(tmp_path, READ) == Access(0o440, 0o750, None)


def test_a_disk_that_ignores_modes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fchmod", lambda _file, _mode: None)
    assert possible_access(tmp_path, READ) is None
