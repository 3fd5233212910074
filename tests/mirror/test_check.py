"""``mirror --check``: which credentials a job would find, without asking anybody."""

from dataclasses import replace
from pathlib import Path

import pytest

from cxrsync.cli.mirror_text import check_lines, usual_seconds
from cxrsync.config.job_file import MirrorJob
from cxrsync.config.parse_job import make_job
from cxrsync.dataset.shared_tree import Group
from cxrsync.errors import AccessDenied, ExitCode, RefusedForSafety, UsageError
from cxrsync.mirror.check import FoundCredentials, JobCheck, find_credentials
from cxrsync.sources import credentials

JOB = MirrorJob("jpg", make_job({"jpg": True, "dataset_version": "2.1.0"}))


def test_where_they_are_found(tmp_path: Path) -> None:
    origin = JOB.job.origin
    variables = {"PHYSIONET_USERNAME": "alice", "PHYSIONET_PASSWORD": "hunter2"}
    assert find_credentials(origin, variables) == FoundCredentials("PHYSIONET_PASSWORD")
    found = find_credentials(origin, {"HOME": str(tmp_path)})
    assert found is not None
    assert (found.place, found.warning) == ("", "")
    assert "PHYSIONET_PASSWORD_FILE" in found.problem
    assert find_credentials(replace(origin, places=(tmp_path,)), variables) is None


def test_a_keyring_alone_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    found = credentials.Credentials("alice", "hunter2", "keyring")
    monkeypatch.setattr(credentials, "find", lambda *_args, **_options: found)
    place = find_credentials(JOB.job.origin, {})
    assert place == FoundCredentials("keyring")
    lines = list(check_lines(JobCheck(JOB, place)))
    assert "credentials: keyring" in lines
    assert any(line.startswith("warning: cron and systemd open no keyring") for line in lines)
    assert JobCheck(JOB, place).code == ExitCode.COMPLETE
    assert not any("hunter2" in line for line in lines)


@pytest.mark.parametrize(
    ("more", "days"),
    [({}, 10), ({"window": "22:00-06:00"}, 30), ({"limit_rate": 500}, 20),
     ({"limit_rate": 5000}, 10), ({"limit_rate": "08:00-20:00=500"}, 10)],
)  # fmt: skip
def test_how_long_it_takes(more: dict[str, object], days: float) -> None:
    limits = make_job({"jpg": True, **more}).limits
    assert usual_seconds(864e6, 1000, limits) == pytest.approx(days * 86_400)


def test_the_exit_code() -> None:
    assert JobCheck(JOB, None).code == ExitCode.COMPLETE
    assert JobCheck(JOB, None, problems=(AccessDenied("no"),)).code == ExitCode.ACCESS
    several = (UsageError("no"), RefusedForSafety("no"), AccessDenied("no"))
    assert JobCheck(JOB, None, problems=several).code == ExitCode.USAGE


def test_a_variable_of_this_shell_is_a_warning() -> None:
    lines = list(check_lines(JobCheck(JOB, FoundCredentials("PHYSIONET_PASSWORD"))))
    assert any("do not have PHYSIONET_PASSWORD of this shell" in line for line in lines)
    for place in ("PHYSIONET_PASSWORD_FILE", "/home/alice/.netrc"):
        lines = list(check_lines(JobCheck(JOB, FoundCredentials(place))))
        assert not any("warning" in line for line in lines)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (None, "cxr-jpg must be"),
        (1, "cxr-jpg (1 user, besides"),
        (12, "cxr-jpg (12 users, besides"),
    ],
)
def test_who_reads_it(members: int | None, said: str) -> None:
    job = make_job({"jpg": True, "dataset_version": "2.1.0", "permissions": "group=cxr-jpg"})
    readers = Group("cxr-jpg", 1234, members, is_ours=True)
    lines = list(
        check_lines(
            JobCheck(MirrorJob("jpg", job), None, permissions=job.permissions, readers=readers)
        )
    )
    assert "permissions: files=0440,folders=2750,group=cxr-jpg" in lines
    assert f"Each member of the group {said}" in lines[-1]
    assert "must be credentialed and have signed the data use agreement: https://" in lines[-1]
