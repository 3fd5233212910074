"""``mirror --check`` of hooks, ping, metrics and report: nothing is run, pinged or written."""

import os
from pathlib import Path
from typing import Any

import pytest

from cxrsync.config.ping_url import parse_ping_url
from cxrsync.errors import ExitCode
from cxrsync.mirror.check_outputs import Finding, check_outputs

PATH = {"PATH": "/usr/bin:/bin"}


def inspect(settings: dict[str, Any], **environ: str) -> Finding:
    [finding] = check_outputs(settings, {**PATH, **environ})
    return finding


def test_what_would_work(tmp_path: Path) -> None:
    script = tmp_path / "tell-me"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\n")
    script.chmod(0o700)
    settings = {
        "ping": parse_ping_url("https://hc-ping.com/secret-uuid"),
        "before": ("sh", "-c", "x"),
        "after": (str(script), "cxr"),
        "metrics_file": tmp_path / "cxrsync.prom",
        "report": tmp_path / "report.html",
    }
    found = list(check_outputs(settings, PATH))
    assert [each.key for each in found] == list(settings)
    assert [each.error for each in found] == [None] * 5
    assert "hc-ping.com" in found[0].text
    assert "secret-uuid" not in "".join(each.text for each in found)
    assert not any("warning" in each.text for each in found)
    assert [path.name for path in tmp_path.iterdir()] == ["tell-me"]
    assert list(check_outputs({}, PATH)) == []


@pytest.mark.parametrize(
    ("program", "said", "step"),
    [
        ("/nonexistent/tell-me", "/nonexistent/tell-me is not there", "install"),
        ("no-such-program", "is in no folder of PATH (/usr/bin:/bin)", "whole path"),
        ("{folder}", "is a folder", "Name a program"),
        ("{folder}/plain", "cannot be executed", "chmod u+x"),
    ],
)
def test_a_hook_that_cannot_start(tmp_path: Path, program: str, said: str, step: str) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    command = (program.format(folder=tmp_path), "an argument that may be a secret")
    for key in ("before", "after"):
        error = inspect({key: command}).error
        assert error is not None
        assert error.exit_code == ExitCode.USAGE
        assert str(error).startswith(f"{key}: {command[0]}")
        assert said in str(error)
        assert step in error.next_step
        assert "secret" not in str(error) + error.next_step


def test_a_hook_that_cron_does_not_find(tmp_path: Path) -> None:
    script = tmp_path / "tell-me"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o700)
    found = inspect({"after": ("tell-me",)}, PATH=f"/usr/bin:{tmp_path}")
    assert found.error is None
    assert found.text.startswith("warning: cron looks in /usr/bin:/bin only")
    assert str(script) in found.text


@pytest.mark.parametrize(
    ("key", "name", "said", "step"),
    [
        ("metrics_file", "no/x.prom", "there is no folder", "mkdir -p"),
        ("metrics_file", "x.txt", "does not end with .prom", "x.prom"),
        ("metrics_file", "x.prom", "is a folder", "Name a file"),
        ("report", "no/x.html", "there is no folder", "mkdir -p"),
    ],
)
def test_a_file_that_cannot_be_written(
    tmp_path: Path, key: str, name: str, said: str, step: str
) -> None:
    (tmp_path / "x.prom").mkdir()
    error = inspect({key: tmp_path / name}).error
    assert error is not None
    assert str(error).startswith(f"{key}: ")
    assert said in str(error)
    assert step in error.next_step


def test_a_folder_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_words, **_options: False)
    error = inspect({"metrics_file": tmp_path / "x.prom"}).error
    assert "may not create files in" in str(error)
