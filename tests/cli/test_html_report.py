"""The file of a report is looked at before any work."""

import os
from pathlib import Path

import pytest

from cxrsync.cli.html_report import report_file, write_report
from cxrsync.errors import DiskError, UsageError
from cxrsync.report_data import ReportData

DATA = ReportData("d", "1", "/srv", "all", 0.0, "cxrsync")


def test_none_is_none(tmp_path: Path) -> None:
    assert report_file(None, "--report") is None
    assert report_file(tmp_path / "x.html", "--report") == tmp_path / "x.html"
    assert report_file(Path("x.HTM"), "--html") == Path("x.HTM")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("-", "--report needs a file"),
        ("zip", "its name ends in .html"),
        ("report", "its name ends in .html"),
        ("none/x.html", "there is no folder"),
        ("file.txt/x.html", "there is no folder"),
        ("folder.html", "is a folder"),
    ],
)
def test_what_is_refused(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.html").mkdir()
    Path("file.txt").touch()
    with pytest.raises(UsageError, match=said) as caught:
        report_file(Path(name), "--report")
    assert ("--reports" in caught.value.next_step) == (name == "zip")


def test_it_is_written_whole_and_for_its_owner(tmp_path: Path) -> None:
    file, other = tmp_path / "x.html", tmp_path / "other"
    other.write_text("somebody's")
    file.symlink_to(other)
    write_report(file, DATA)
    assert file.read_text("utf-8").startswith("<!doctype html>")
    assert not file.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o600
    assert other.read_text() == "somebody's"
    assert sorted(os.listdir(tmp_path)) == ["other", "x.html"]


def test_a_disk_that_will_not_have_it(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="cannot write the report"):
        write_report(tmp_path / "gone" / "x.html", DATA)
