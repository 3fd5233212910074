"""`cxrsync demo` says what to do when its folder cannot be made: a full disk needs another one."""

import errno
import os
from pathlib import Path

import pytest
from e2e.command_line import cxrsync

from cxrsync.demo.walkthrough import make_trees, space_needed
from cxrsync.storage.disk_space import FreeSpace


def environment(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "PYTHONWARNINGS": "error"}


@pytest.mark.parametrize(
    ("cause", "code", "step"),
    [
        (errno.ENOSPC, 7, "fewer --patients"),
        (errno.EDQUOT, 7, "fewer --patients"),
        (errno.EADDRINUSE, 2, "another --port"),
    ],
)
def test_a_full_disk_is_named_as_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cause: int, code: int, step: str
) -> None:
    def fail(*_places: object, **_settings: object) -> None:
        raise OSError(cause, os.strerror(cause))

    monkeypatch.setattr("cxrsync.demo.walkthrough.set_up", fail)
    ended = cxrsync(["demo", "--dir", str(tmp_path)], environment(tmp_path))
    assert ended.code == code
    assert step in ended.err


@pytest.mark.parametrize(
    ("free", "says"),
    [
        (FreeSpace(44_000_000_000, None), "need about 45.0 GB"),
        (FreeSpace(50_000_000_000, 1_000_000), "need about 1,920,500 files and folders"),
    ],
)
def test_space_is_looked_at_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: FreeSpace, says: str
) -> None:
    monkeypatch.setattr("cxrsync.cli.demo.free_space", lambda _folder: free)
    folder = tmp_path / "demo"
    ended = cxrsync(
        ["demo", "--patients", "60000", "--dir", str(folder)],
        environment(tmp_path),
    )
    assert (ended.code, folder.exists()) == (7, False)
    assert says in ended.err


def test_what_a_demo_needs_is_not_underestimated(tmp_path: Path) -> None:
    trees = make_trees(tmp_path, 10)
    size, files = space_needed(10)
    made = [path.lstat() for path in tmp_path.rglob("*")]
    assert sum(each.st_blocks * 512 for each in made) <= size <= 4 * sum(t.size for t in trees)
    assert len(made) <= files <= 4 * len(made)
