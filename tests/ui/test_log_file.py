"""The log of a mirror: appended, private, and written where the name leads now."""

import os
import re
from pathlib import Path

from cxrsync.errors import ExitCode
from cxrsync.ui.log_file import LogFile

STAMP = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}[+-][0-9]{2}:[0-9]{2}"


def test_lines_are_appended_with_the_time(tmp_path: Path) -> None:
    file = tmp_path / "log"
    LogFile(file).write("jpg: a")
    log = LogFile(file)
    log.write("b\nforged\x1b[2J")
    assert re.fullmatch(f"{STAMP} jpg: a\n{STAMP} b\\\\x0aforged\\\\x1b\\[2J\n", file.read_text())
    assert log.lost is None


def test_a_file_that_was_moved_away_gets_no_more_lines(tmp_path: Path) -> None:
    file, moved = tmp_path / "log", tmp_path / "log.1"
    log = LogFile(file)
    log.write("a")
    os.rename(file, moved)
    log.write("b")
    assert (moved.read_text()[-2:], file.read_text()[-2:]) == ("a\n", "b\n")


def test_a_new_file_is_private(tmp_path: Path) -> None:
    LogFile(tmp_path / "log").write("a")
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_the_first_failure_is_kept(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "none/log")
    log.write("a")
    first = log.lost
    log.write("b")
    assert first is not None
    assert log.lost is first
    assert str(first).startswith(f"the log {tmp_path}/none/log cannot be written: No such")
    assert first.exit_code == ExitCode.DISK
