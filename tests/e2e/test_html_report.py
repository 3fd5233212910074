"""Reports of real trees: at the end of a pull, at any time, of one that failed, for a reader."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from e2e.stage import JPG, VERSION, Machine

from cxrsync.demo.server import faults
from cxrsync.demo.server.faults import Rule, script
from cxrsync.demo.server.server import MiniPhysioNet

IDS = re.compile(r"[ps][0-9]{5}|[0-9a-f]{8}-[0-9a-f]{8}|[0-9a-f]{40}|\b[15][0-9]{7}\b")
COLLEAGUE = 65534
CAPABILITIES = "-chown,-dac_override,-dac_read_search,-fowner"
AS_A_USER = ("setpriv", "--bounding-set", CAPABILITIES, "--inh-caps", CAPABILITIES)
P10 = ("--jpg", "--shard", "p10")


@pytest.fixture
def server(shared_server: MiniPhysioNet) -> MiniPhysioNet:
    return shared_server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "report.html"


def read(file: Path) -> str:
    page = file.read_text("utf-8")
    assert IDS.findall(page) == []
    assert "<script" not in page
    return page


def sentence(file: Path) -> str:
    found = re.search(r'<h1 id="sentence">(.*?)</h1>', read(file))
    assert found is not None
    return found[1]


def images(machine: Machine) -> list[Path]:
    return sorted((machine.dest / JPG / VERSION).rglob("*.jpg"))


def test_a_pull_and_what_became_of_it(machine: Machine, file: Path) -> None:
    assert machine.pull(*P10, "--report", str(file)).code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert sentence(file).startswith("All ")
    assert "selected files are here and verified; the oldest proof is less than an hour" in read(
        file
    )
    assert "The only run so far" in read(file)
    [log] = (machine.dest / JPG / VERSION / ".cxrsync/runs").iterdir()
    samples = json.loads(log.read_text())["samples"]
    assert 0 < len(samples) <= 120
    assert samples[-1][1] == json.loads(log.read_text())["bytes"]["fetched"]

    gone, changed = images(machine)[:2]
    gone.unlink()
    os.utime(changed, (1_000_000_000,) * 2)
    ended = machine.run("status", "--html", str(file))
    assert ended.code == 0
    assert f"the report is in {file}" in ended.out
    assert "the oldest proof is" in ended.out
    assert sentence(file).startswith("1 file is missing and 1 file is not verified, of ")
    assert "1 file: verified before, gone now" in read(file)
    assert "1 file: changed since verified" in read(file)
    assert "Since then: 1 file: verified before, gone now." in read(file)

    told = machine.run("status", "--json", "--html", str(file))
    [answer] = told.events
    verified = sum(each["verified"] for each in answer["partitions"].values())
    assert answer["proofs"]["recent_files"] == verified
    assert 0 <= answer["proofs"]["oldest_age"] < 3_600


def test_files_that_fail(
    serve: Callable[..., MiniPhysioNet], make_machine: Any, file: Path
) -> None:
    server = serve(faults=script(Rule("*.jpg", faults.says(HTTPStatus.NOT_FOUND), attempts=None)))
    machine: Machine = make_machine(server)
    assert machine.pull(*P10, "--report", str(file)).code == 5
    assert "missing, of " in sentence(file)
    assert re.search(r"<h3>[0-9]+ files: not fetched</h3>", read(file))
    before = read(file)
    # The state alone tells the same.
    assert machine.run("status", "--html", str(file)).code == 0
    assert sentence(file) in before
    assert re.search(r"<h3>[0-9]+ files: not fetched</h3>", read(file))


def test_a_run_that_fails_at_once(machine: Machine, file: Path) -> None:
    machine.environment["PHYSIONET_PASSWORD"] = "wrong"
    assert machine.pull(*P10, "--report", str(file)).code == 3
    assert sentence(file) == "The contents of this mirror are not known."
    assert "sign-in refused (3)" in read(file)
    assert "https://physionet.org/login/" in read(file)


@pytest.mark.parametrize("name", ["none/report.html", "-", "report.txt"])
def test_a_file_that_cannot_be_is_refused_before_any_work(
    machine: Machine, server: MiniPhysioNet, name: str
) -> None:
    assert machine.pull(*P10, "--report", name).code == 2
    assert machine.run("status", "--html", name).code == 2
    assert server.request_log.snapshot().by_path == {}
    assert not machine.dest.exists()


def test_a_dry_run_has_no_report(machine: Machine, file: Path) -> None:
    assert machine.run("pull", *P10, "--dry-run", "--report", str(file)).code == 2
    assert not file.exists()


def test_a_report_that_cannot_be_written(machine: Machine, file: Path, monkeypatch: Any) -> None:
    """The files are here all the same; the exit code says that something was not."""
    monkeypatch.setattr("cxrsync.cli.html_report.write_file", _full)
    ended = machine.pull(*P10, "--report", str(file))
    assert ended.code == 7
    assert "cannot write the report" in ended.err
    assert ended.summary["exit_code"] == 0


def _full(*_arguments: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_reader_of_a_shared_mirror(machine: Machine, file: Path) -> None:
    """A colleague's logs of runs are the colleague's alone; the tree may be read by everybody."""
    if os.geteuid() or shutil.which("setpriv") is None:
        pytest.skip("two users need root, and setpriv")
    assert machine.pull(*P10).code == 0
    root = machine.dest / JPG / VERSION
    for folder, _folders, names in os.walk(machine.dest):
        for each in (folder, *(os.path.join(folder, name) for name in names)):
            mode = 0o755 if each == folder else 0o600 if "/runs/" in each else 0o444
            os.chmod(each, mode)
            os.chown(each, COLLEAGUE, COLLEAGUE)
    before = sorted(root.rglob("*"))
    ended = machine.run_process("status", "--html", str(file), through=AS_A_USER)
    assert ended.code == 0, ended.err
    assert sentence(file).startswith("All ")
    assert "1 log of earlier runs cannot be read" in read(file)
    assert sorted(root.rglob("*")) == before


def test_a_pull_without_a_report_does_not_import_jinja(machine: Machine) -> None:
    code = (
        "import sys; from cxrsync.cli.main import run; code = run(sys.argv[1:]); "
        "assert 'jinja2' not in sys.modules; sys.exit(code)"
    )
    words = [sys.executable, "-c", code, "pull", *P10, "--progress", "none"]
    done = subprocess.run(words, env=machine.variables(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
