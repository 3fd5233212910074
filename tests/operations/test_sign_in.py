"""The netrc file is replaced whole or not at all, and never behind another program's back."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cxrsync.errors import DiskError, UsageError
from cxrsync.operations import sign_in
from cxrsync.operations.sign_in import delete_from_netrc, store_in_netrc, users_in_netrc

HOST = "physionet.org"
OTHER = "machine example.org login bob password other\n"


@pytest.fixture
def netrc(tmp_path: Path) -> Path:
    file = tmp_path / ".netrc"
    file.write_text(OTHER)
    return file


def test_stored_found_and_deleted(netrc: Path) -> None:
    store_in_netrc(netrc, HOST, "ann", "hush")
    store_in_netrc(netrc, HOST, "zoe", "two words")
    assert users_in_netrc(netrc, HOST) == ["zoe", "ann"]
    assert netrc.stat().st_mode & 0o777 == 0o600
    assert delete_from_netrc(netrc, HOST, "zoe") == ["zoe"]
    assert delete_from_netrc(netrc, HOST, None) == ["ann"]
    assert delete_from_netrc(netrc, HOST, None) == []
    assert netrc.read_text() == OTHER
    assert os.listdir(netrc.parent) == [".netrc"]


def test_bytes_that_are_not_utf8_stay(netrc: Path) -> None:
    netrc.write_bytes(OTHER.encode() + b"# caf\xe9\n")
    store_in_netrc(netrc, HOST, "ann", "grüße")
    assert netrc.read_bytes() == (
        OTHER.encode() + b"# caf\xe9\n" + f'machine {HOST} login ann password "grüße"\n'.encode()
    )


def test_a_file_without_an_entry_is_not_touched(netrc: Path) -> None:
    before = netrc.stat()
    assert delete_from_netrc(netrc, HOST, None) == []
    after = netrc.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert delete_from_netrc(netrc.with_name("none"), HOST, None) == []
    assert os.listdir(netrc.parent) == [".netrc"]


@pytest.mark.parametrize("what", ["changed", "deleted", "created"])
def test_another_program_writes_at_the_same_time(
    netrc: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    write: Callable[..., None] = sign_in.write_file
    if what == "created":
        netrc.unlink()

    def meanwhile(path: Path, data: bytes, **options: Any) -> None:
        if what == "deleted":
            netrc.unlink()
        else:
            netrc.write_text("machine new.org login n password n\n")
        write(path, data, **options)

    monkeypatch.setattr(sign_in, "write_file", meanwhile)
    with pytest.raises(UsageError, match="changed by another program"):
        store_in_netrc(netrc, HOST, "ann", "hush")
    assert [each.read_text() for each in netrc.parent.iterdir()] == (
        [] if what == "deleted" else ["machine new.org login n password n\n"]
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("is_there", [True, False])
def test_the_file_of_another_user(netrc: Path, is_there: bool) -> None:
    """With sudo, HOME may be another user's: a file of root's there would lock that user out."""
    if is_there:
        os.chown(netrc, 12_345, 12_345)
    else:
        netrc.unlink()
        os.chown(netrc.parent, 12_345, 12_345)
    with pytest.raises(UsageError, match="another user's"):
        store_in_netrc(netrc, HOST, "ann", "hush")
    assert os.listdir(netrc.parent) == ([".netrc"] if is_there else [])


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="No such file"):
        store_in_netrc(tmp_path / "none" / "netrc", HOST, "ann", "hush")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="is not a file"):
        store_in_netrc(tmp_path / "folder", HOST, "ann", "hush")


@pytest.mark.parametrize("secret", ["tab\tin it", "line\nbreak"])
def test_a_secret_that_no_netrc_holds_is_not_quoted(netrc: Path, secret: str) -> None:
    with pytest.raises(UsageError, match="cannot hold") as caught:
        store_in_netrc(netrc, HOST, "ann", secret)
    assert secret not in f"{caught.value} {caught.value.next_step}"
    assert netrc.read_text() == OTHER
