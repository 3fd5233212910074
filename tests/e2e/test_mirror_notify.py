"""What surrounds the jobs of a mirror: pings, hooks, metrics; and what --print prints."""

from __future__ import annotations

import json
import re
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e.stage import JOB_DEFAULTS, Machine, wait_until
from sources.http.ping_service import SECRET, Check, served

from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.errors import ExitCode
from cxrsync.mirror.metrics_file import parse_metrics

JOBS = (
    JOB_DEFAULTS
    + """jobs:
  - name: dicom
    dicom: true
    metadata_only: true
  - name: jpg
    jpg: true
    metadata_only: true
log: mirror.log
ping: ${PING_URL}
metrics_file: metrics/cxrsync.prom
"""
)


@pytest.fixture
def check() -> Iterator[Check]:
    with served(Check()) as check:
        yield check


@pytest.fixture
def machine(
    shared_server: MiniPhysioNet, make_machine: Callable[[MiniPhysioNet], Machine], check: Check
) -> Machine:
    made = make_machine(shared_server)
    made.environment["PING_URL"] = f"http://127.0.0.1:{check.port}/{SECRET}"
    (made.home / "metrics").mkdir()
    return made


def write(machine: Machine, text: str) -> str:
    file = machine.home / "jobs.yaml"
    file.write_text(text)
    return str(file)


def initialised(machine: Machine, text: str) -> str:
    file = write(machine, text)
    done = machine.run("mirror", "--init", file)
    assert (done.code, done.err) == (0, "")
    return file


def log(machine: Machine) -> str:
    return (machine.home / "mirror.log").read_text()


def script(machine: Machine, name: str, *lines: str) -> Path:
    path = machine.home / name
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(0o700)
    return path


def test_a_night_that_is_well(machine: Machine, check: Check) -> None:
    before = script(machine, "before", "echo first")
    after = script(machine, "after", "env | grep -c ^PHYSIONET", "env | grep ^CXRSYNC_RESULT_")
    file = initialised(machine, f"{JOBS}before: {before}\nafter: [{after}]\n")
    done = machine.run("mirror", file)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert check.asked == [f"POST /{SECRET}/start", f"POST /{SECRET}"]
    lines = [line.split(" ", 1)[1] for line in log(machine).splitlines()]
    assert lines[0] == "before: first"
    assert "after: 0" in lines  # no variable with credentials
    assert "after: CXRSYNC_RESULT_EXIT_CODE=0" in lines
    assert "after: CXRSYNC_RESULT_SENTENCE=complete and verified" in lines
    assert "after: CXRSYNC_RESULT_JOBS=dicom jpg" in lines
    [runs] = [line for line in lines if "RESULT_RUN_FILES" in line]
    assert json.loads(Path(runs.split("=")[1]).read_text())["exit_code"] == 0
    assert not [line for line in lines if "warning" in line]
    metrics = parse_metrics((machine.home / "metrics/cxrsync.prom").read_text())
    assert {job for job, _dataset in metrics} == {"dicom", "jpg"}
    for each in metrics.values():
        assert each.values["exit_code"] == 0
        assert each.values["last_success"] > 1.7e9
        assert each.values["oldest_proof"] <= each.values["last_success"]
        assert each.values["verified_bytes"] > 1000
        assert each.files["verified"] > 2
        assert each.files["missing"] == each.files["failed"] == 0


def test_a_night_that_fails(machine: Machine, check: Check) -> None:
    file = initialised(machine, JOBS)
    machine.environment["PHYSIONET_PASSWORD"] = "wrong"
    done = machine.run("mirror", file)
    assert done.code == ExitCode.CREDENTIALS
    assert check.asked == [f"POST /{SECRET}/start", f"POST /{SECRET}/3"]
    [_start, (_method, _path, body, _headers)] = check.requests
    assert body.startswith("exit code 3: the credentials are missing or were refused\njobs: 2\n")
    for text in (done.err, log(machine), body):
        assert SECRET not in text
        assert "wrong" not in text
    metrics = parse_metrics((machine.home / "metrics/cxrsync.prom").read_text())
    assert [each.values["exit_code"] for each in metrics.values()] == [3, 3]
    assert all("last_success" not in each.values for each in metrics.values())


def test_what_is_broken_around_the_jobs_is_a_warning(machine: Machine, check: Check) -> None:
    check.statuses = [404]
    (machine.home / "metrics").rmdir()
    file = initialised(machine, f"{JOBS}before: /nonexistent\nafter: 'false'\n")
    done = machine.run("mirror", file)
    assert (done.code, done.out, done.err) == (0, "", "")
    warnings = [
        line.split("warning: ")[1] for line in log(machine).splitlines() if "warning" in line
    ]
    assert [each.split(":")[0] for each in warnings] == [
        "the hook before cannot be started",
        "the ping to 127.0.0.1 failed",
        f"the metrics file {machine.home}/metrics/cxrsync.prom cannot be written",
        "the ping to 127.0.0.1 failed",
        "the hook after failed with exit code 1",
    ]
    assert SECRET not in log(machine)


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (None, 0, "cannot read "),
        ("https://hc.test/SECRET", 0o644, "can be read by other users"),
        ("SECRET", 0o600, "is not an http:// or https:// address"),
    ],
)
def test_a_ping_file_that_cannot_be_used_stops_no_night(
    machine: Machine, content: str | None, mode: int, said: str
) -> None:
    path = machine.home / "ping-url"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    text = re.sub(r"(?m)^ping: .*$", f'ping: "@{path}"', JOBS)
    file = initialised(machine, text)
    done = machine.run("mirror", file)
    assert (done.code, done.out, done.err) == (0, "", "")
    [warning] = [line for line in log(machine).splitlines() if "warning: " in line]
    assert "no ping is sent: " in warning
    assert (said in warning, "SECRET" in log(machine)) == (True, False)
    done = machine.run("mirror", "--check", file)
    assert (done.code, said in done.err, "SECRET" in done.err) == (ExitCode.USAGE, True, False)


def test_before_can_skip_a_night(machine: Machine, check: Check) -> None:
    requests = len(check.requests)
    file = initialised(machine, f"{JOBS}before: sh -c 'exit 75'\nafter: touch after\n")
    done = machine.run("mirror", file)
    assert (done.code, done.out, done.err) == (ExitCode.LIMIT, "", "")
    assert "skipped: the hook before asks to try again later" in log(machine)
    assert len(check.requests) == requests
    assert not list(machine.dest.rglob("SHA256SUMS.txt"))
    assert not (machine.home / "after").exists()


def test_a_signal_ends_the_hook_before(machine: Machine, check: Check) -> None:
    before = script(machine, "before", f"touch {machine.home}/began", "exec sleep 60")
    file = initialised(machine, f"{JOBS}before: {before}\n")
    with machine.start("mirror", file) as process:
        wait_until((machine.home / "began").exists)
        process.send_signal(signal.SIGTERM)
        _out, err = process.communicate(timeout=30)
    assert process.returncode == ExitCode.TERMINATED
    assert check.asked == [f"POST /{SECRET}/143"]
    assert "2 of 2 jobs did not complete (exit 143)" in err


def test_a_hook_may_run_cxrsync(machine: Machine) -> None:
    after = script(machine, "after", f'python3 -c "" && cd {machine.home}', "echo $0")
    file = initialised(machine, f"{JOBS}after: {after}\n")
    assert machine.run("mirror", file).code == 0
    machine.environment["CXRSYNC_RESULT_EXIT_CODE"] = "0"
    assert machine.run("status", "--jpg", "--metadata-only").code == 0


def test_metrics_of_jobs_that_did_not_run_stay(machine: Machine) -> None:
    file = initialised(machine, JOBS)
    assert machine.run("mirror", file).code == 0
    path = machine.home / "metrics/cxrsync.prom"
    before = parse_metrics(path.read_text())
    assert machine.run("mirror", "--job", "jpg", file).code == 0
    after = parse_metrics(path.read_text())
    [dicom], [jpg] = ([key for key in before if key[0] == job] for job in ("dicom", "jpg"))
    assert after[dicom] == before[dicom]
    assert after[jpg].values["last_run"] > before[jpg].values["last_run"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"ping: https://hc.test/{SECRET}", "this address is a secret"),
        (f"after: curl -d x https://hc.test/{SECRET}", "an address in a hook is often a secret"),
        (f"after: [curl, 'https://hc.test/{SECRET}']", "an address in a hook is often a secret"),
        ("after: a | b", "has |, and no shell runs the command"),
        ("after: 5", "YAML reads 5 without quotes"),
        ("before: []", "is empty"),
        ("ping: '@ping'", "not an absolute path"),
        ("hook_timeout: 0", "hook_timeout"),
    ],
)
def test_what_a_job_file_may_not_say(machine: Machine, line: str, words: str) -> None:
    text = "\n".join(each for each in JOBS.splitlines() if not each.startswith("ping"))
    done = machine.run("mirror", write(machine, f"{text}\n{line}\n"))
    assert done.code == ExitCode.USAGE
    assert words in done.err
    assert SECRET not in done.err


def test_the_ping_may_be_in_a_file(machine: Machine, check: Check) -> None:
    place = machine.home / "ping"
    place.write_text(f"http://127.0.0.1:{check.port}/{SECRET}\n")
    place.chmod(0o600)
    text = JOBS.replace("${PING_URL}", f"'@{place}'")
    assert machine.run("mirror", initialised(machine, text)).code == 0
    assert check.asked == [f"POST /{SECRET}/start", f"POST /{SECRET}"]


# ── --print ────────────────────────────────────────────────────────────────────────────────────


def test_print_cron(machine: Machine) -> None:
    machine.environment["PHYSIONET_PASSWORD_FILE"] = "/home/me/pw"
    done = machine.run("mirror", "--print", "cron", write(machine, JOBS))
    assert (done.code, done.err) == (0, "")
    assert 'PHYSIONET_PASSWORD_FILE="/home/me/pw"' in done.out.splitlines()
    *_when, command = done.out.splitlines()[-1].split(" ", 5)
    words = shlex.split(command)
    assert words[:3] == ["nice", "-n", "10"]
    assert words[-2:] == ["mirror", str(machine.home / "jobs.yaml")]
    assert Path(words[3]).is_absolute()


def test_print_systemd(machine: Machine) -> None:
    done = machine.run("mirror", "--print", "systemd", write(machine, JOBS))
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert f"RequiresMountsFor={machine.dest}" in lines
    assert "LoadCredential=physionet:/etc/cxrsync/physionet-password" in lines
    [writes] = [line for line in lines if line.startswith("ReadWritePaths=")]
    assert str(machine.dest) in writes
    assert SECRET not in done.out


def test_print_needs_a_file_and_a_form(machine: Machine) -> None:
    assert machine.run("mirror", "--print", "systemd").code == ExitCode.USAGE
    assert machine.run("mirror", "--print", "launchd", write(machine, JOBS)).code == ExitCode.USAGE


# ── the HTML reports ───────────────────────────────────────────────────────────────────────────


def test_each_tree_has_its_report_before_the_hook(machine: Machine) -> None:
    after = script(machine, "after", f"ls {machine.home}/out")
    (machine.home / "out").mkdir()
    file = initialised(machine, f"{JOBS}report: out/report.html\nafter: {after}\n")
    assert machine.run("mirror", file).code == 0
    text = log(machine)
    assert "after: report-dicom.html" in text
    assert "after: report-jpg.html" in text
    for name, dataset in (("dicom", "mimic-cxr"), ("jpg", "mimic-cxr-jpg")):
        page = machine.home / f"out/report-{name}.html"
        assert page.stat().st_mode & 0o077 == 0
        assert f"<strong>{dataset}</strong>" in page.read_text()
        assert "selected files are here and verified" in page.read_text()
    # One job alone keeps the name of its file.
    (machine.home / "out/report-jpg.html").unlink()
    assert machine.run("mirror", "--job", "jpg", file).code == 0
    assert sorted(each.name for each in (machine.home / "out").iterdir()) == [
        "report-dicom.html",
        "report-jpg.html",
    ]


def test_a_report_of_one_job_and_of_a_disk_that_is_not_mounted(machine: Machine) -> None:
    text = JOBS.replace("  - name: jpg\n    jpg: true\n    metadata_only: true\n", "")
    file = write(machine, f"{text}report: report.html\n")
    assert machine.run("mirror", file).code == ExitCode.REFUSED
    assert (
        "The contents of this mirror are not known." in (machine.home / "report.html").read_text()
    )
    initialised(machine, f"{text}report: report.html\n")
    assert machine.run("mirror", file).code == 0
    assert "selected files are here" in (machine.home / "report.html").read_text()


def test_a_report_that_cannot_be_written_is_a_warning(machine: Machine) -> None:
    file = initialised(machine, f"{JOBS}report: nowhere/report.html\n")
    done = machine.run("mirror", file)
    assert (done.code, done.err) == (0, "")
    assert f"warning: cannot write the report {machine.home}/nowhere/report-dicom.html" in log(
        machine
    )
    done = machine.run("mirror", "--check", file)
    assert "report: there is no folder" in done.err
    done = machine.run("mirror", write(machine, f"{JOBS}report: report.pdf\n"))
    assert (done.code, "its name ends in .html" in done.err) == (ExitCode.USAGE, True)
