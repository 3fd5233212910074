"""The user's cache folder: where it is, and that a run never fails for it."""

import os
from pathlib import Path

import pytest

from cxrsync.dataset.api_cache import ApiCache, cache_folder


@pytest.mark.parametrize(
    ("environ", "platform", "folder"),
    [
        ({"HOME": "/home/ann"}, "linux", "/home/ann/.cache/cxrsync"),
        ({"HOME": "/Users/ann"}, "darwin", "/Users/ann/Library/Caches/cxrsync"),
        ({"HOME": "/home/ann", "XDG_CACHE_HOME": "/scratch/c"}, "linux", "/scratch/c/cxrsync"),
        ({"HOME": "/home/ann", "XDG_CACHE_HOME": "c"}, "linux", "/home/ann/.cache/cxrsync"),
        ({"HOME": "/home/ann", "XDG_CACHE_HOME": ""}, "linux", "/home/ann/.cache/cxrsync"),
        ({"XDG_CACHE_HOME": "/scratch/c"}, "linux", "/scratch/c/cxrsync"),
        ({"HOME": ""}, "linux", None),
        ({"HOME": "relative"}, "linux", None),
        ({}, "linux", None),
    ],
)
def test_the_cache_folder(environ: dict[str, str], platform: str, folder: str | None) -> None:
    found = cache_folder(environ, platform)
    assert (found and str(found)) == folder


def test_what_is_written_is_read(tmp_path: Path) -> None:
    cache = ApiCache(tmp_path / "a" / "b")
    assert cache.read("x.json") is None
    cache.write("x.json", b"1")
    cache.write("x.json", b"2")
    assert ApiCache(tmp_path / "a" / "b").read("x.json") == b"2"
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["x.json"]
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_what_is_a_month_old_is_deleted(tmp_path: Path) -> None:
    cache = ApiCache(tmp_path)
    cache.write("old.json", b"1")
    cache.write("new.json", b"1")
    os.utime(tmp_path / "old.json", (0, 0))
    (tmp_path / "of-another-program").touch()
    os.utime(tmp_path / "of-another-program", (0, 0))
    cache.write("x.json", b"1")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "new.json", "of-another-program", "x.json",
    ]  # fmt: skip


def no_folder(tmp_path: Path) -> None:
    (tmp_path / "home").write_bytes(b"a file")


def a_loop(tmp_path: Path) -> None:
    (tmp_path / "home").symlink_to("home")


def a_folder_for_the_file(tmp_path: Path) -> None:
    (tmp_path / "home" / ".cache" / "cxrsync" / "x.json").mkdir(parents=True)


@pytest.mark.parametrize("odd", [no_folder, a_loop, a_folder_for_the_file])
def test_a_disk_that_refuses_is_no_reason_to_stop(tmp_path: Path, odd: object) -> None:
    assert callable(odd)
    odd(tmp_path)
    cache = ApiCache(tmp_path / "home" / ".cache" / "cxrsync")
    cache.write("x.json", b"1")
    assert cache.read("x.json") is None


def test_without_a_home() -> None:
    cache = ApiCache(None)
    cache.write("x.json", b"1")
    assert cache.read("x.json") is None


def test_nothing_is_written_into_the_home_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with sudo, which may leave HOME as it is."""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    ApiCache(tmp_path / ".cache" / "cxrsync").write("x.json", b"1")
    assert not (tmp_path / ".cache").exists()
