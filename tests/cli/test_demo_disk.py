"""`cxrsync demo` says what to do when its folder cannot be made: a full disk needs another one."""

import errno
import os
from pathlib import Path

import pytest
from e2e.command_line import cxrsync


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
    environment = {"HOME": str(tmp_path), "PYTHONWARNINGS": "error"}
    ended = cxrsync(["demo", "--dir", str(tmp_path)], environment)
    assert ended.code == code
    assert step in ended.err
