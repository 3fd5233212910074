"""The Python interface, as a script uses it. Notebooks: test_notebook."""

import asyncio
import json
import re
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from e2e.command_line import cxrsync_process
from e2e.stage import (
    JPG,
    PATIENCE,
    VERSION,
    Machine,
    fingerprint,
    image_requests,
    wait_until,
)  # fmt: skip
from e2e.terminal import Terminal, watch

import cxrsync
from cxrsync.demo.server import faults
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.events import Event, FileDone, Finished, Notice, Started


def use(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Let this process have the variables of a machine."""
    for name, value in machine.variables().items():
        if name != "PYTHONWARNINGS":
            monkeypatch.setenv(name, value)
    return machine


@pytest.fixture
def python(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return use(machine, monkeypatch)


def test_a_day_of_work(python: Machine, jpg: Path) -> None:
    """Look, list, fetch, count, hash: by the variables of the command line."""
    forecast = cxrsync.dry_run(jpg=True, shard="p10")
    assert "to fetch: about" in str(forecast)
    files = cxrsync.ls(jpg=True, shard="p10", only="images")
    assert {each.kind for each in files} == {"images"}
    assert {each.partition for each in files} == {"p10"}
    report = cxrsync.pull(jpg=True, shard="p10")
    assert report.complete
    assert report.fetched.files == report.selected.files == forecast.selected > len(files)
    again = cxrsync.pull(jpg=True, shard="p10")
    assert (again.complete, again.fetched.files) == (True, 0)
    status = cxrsync.status()
    assert (status.complete, status.total.verified) == (True, report.selected.files)
    root = Path(report.root)
    assert fingerprint(root, below="files/p10") == fingerprint(jpg, below="files/p10")
    assert cxrsync.verify().complete

    bad = root / files[0].path
    bad.write_bytes(b"x" * bad.stat().st_size)
    verified = cxrsync.verify(jpg=True)
    assert (verified.complete, verified.bad) == (False, [files[0].path])
    for value in (forecast, report, status, verified):
        assert value.as_json() if not isinstance(value, cxrsync.Status) else True


def test_a_repair(python: Machine) -> None:
    root = Path(cxrsync.pull(jpg=True, shard="p10").root)
    bad, missing = (root / each.path for each in cxrsync.ls(jpg=True, shard="p10")[:2])
    bad.write_bytes(b"x" * bad.stat().st_size)
    missing.unlink()
    found = cxrsync.verify()
    assert (found.complete, found.exit_code, found.missing, found.repair) == (False, 6, 1, None)
    assert "cxrsync.verify(repair=True)" in found._repr_html_()
    repaired = cxrsync.verify(repair=True)
    assert (repaired.complete, repaired.exit_code, len(repaired.bad)) == (True, 0, 1)
    assert repaired.repair is not None
    assert repaired.repair.fetched.files == 2
    assert "repaired (exit_code 0)" in repr(repaired)
    again = cxrsync.verify(repair=True)
    assert (again.complete, again.repair) == (True, None)


def test_a_tree_that_nobody_names(python: Machine) -> None:
    """The only one in the destination; of several, one must be named."""
    with pytest.raises(cxrsync.NotFetchedYet, match=r"there is no tree of a dataset in .*\nName"):
        cxrsync.status()
    cxrsync.pull(jpg=True, shard="p10", limit=1)
    assert cxrsync.status().dataset == JPG
    cxrsync.pull(dicom=True, shard="p10", limit=1)
    several = r"holds 2 trees: mimic-cxr 2.1.0, mimic-cxr-jpg 2.1.0\nName one of them: dataset=\""
    for call in (cxrsync.status, cxrsync.verify):
        with pytest.raises(cxrsync.UsageError, match=several):
            call()
    assert cxrsync.status(dataset=f"{JPG}/{VERSION}").dataset == JPG
    with pytest.raises(cxrsync.NotFetchedYet, match=r"no tree of a dataset in version 9\.9 in"):
        cxrsync.status(dataset_version="9.9")


def test_the_files_are_the_owners_only(python: Machine) -> None:
    """Although the umask of a program is its own."""
    report = cxrsync.pull(jpg=True, shard="p10", limit=1)
    paths = [*Path(report.root).rglob("*")]
    assert paths
    assert [each for each in paths if each.stat().st_mode & 0o077] == []


def test_a_keyword_counts_before_a_variable(
    python: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXRSYNC_DATASET", JPG)
    monkeypatch.setenv("CXRSYNC_SHARD", "p10\np11")
    monkeypatch.setenv("CXRSYNC_METADATA_ONLY", "1")
    assert cxrsync.dry_run(metadata_only=False, shard=None).selection == "p10 p11, with the tables"
    assert cxrsync.dry_run(metadata_only=False, shard="p10").selection == "p10, with the tables"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CXRSYNC_SUBJEKT", "10000032", "unknown variable CXRSYNC_SUBJEKT\nDid you mean CXRSYNC_S"),
        ("CXRSYNC_SHARD", "", "the variable CXRSYNC_SHARD is set, but empty\nSet it to a value"),
        ("CXRSYNC_RETRIES", "x", "CXRSYNC_RETRIES 'x' is not a whole number of at least 0"),
        ("CXRSYNC_DRY_RUN", "1", "CXRSYNC_DRY_RUN is set, and pull() fetches files\nCall cxrsync."),
    ],
)
def test_wrong_variables(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(cxrsync.UsageError) as caught:
        cxrsync.pull(jpg=True)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"user_name": "x"}, "pull() has no keyword user_name\nDid you mean user=?"),
        ({"shards": "x"}, "pull() has no keyword shards\nDid you mean shard=?"),
        ({"threads": 4}, "pull() has no keyword threads\nDid you mean connections=?"),
        ({"password": "secret"}, "pull() has no keyword password\nA password is never an argument"),
        ({"from": "x"}, "pull() has no keyword from\nDid you mean from_dir=?"),
        ({"xyzzy": 1}, "pull() has no keyword xyzzy\nhelp(cxrsync.pull) names the most usual"),
        ({"dry_run": True}, "pull() has no keyword dry_run\nWrite cxrsync.dry_run(…)"),
        (
            {"progress": "bar"},
            "progress= is neither True nor False, but a value of type str\n",
        ),
        ({"on_event": 3}, "on_event= is not a function, but a value of type int\nWrite the name"),
        ({"dest": 3}, "dest=3 is not a path\nWrite text, in quotes, such as '/data'."),
        ({"quiet": True}, "pull() has no keyword quiet\nNothing is printed"),
        ({"retries": "3"}, "retries='3' is not a whole number of at least 0\nWrite 3, without"),
        ({"shard": "p99"}, f"{JPG} has no shard p99\nIts shards: "),
        ({"shard": []}, "shard= is empty\nAn empty value does not select everything."),
        ({"dicom": True}, "more than one dataset: "),
        ({"split": "tset"}, "has no split 'tset'\n"),
        (
            {"label": {"Pneumonia": 2}},
            "label='Pneumonia=2' does not name a value of the label\nWri",
        ),
        ({"label": {"Pneumonai": 1}}, "has no label 'Pneumonai'\n"),
        ({"ca_file": "/nowhere"}, 'ca_file="/nowhere"'),
        ({"base_url": "https://u:pw@x.org/files"}, "base_url= contains a user name or a password"),
    ],
)
def test_wrong_keywords(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(cxrsync.UsageError) as caught:
        cxrsync.pull(**{"jpg": True, "dest": tmp_path / "mirror", **options})
    assert said in str(caught.value)
    assert "--" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "pw" not in str(caught.value)
    assert not (tmp_path / "mirror").exists()


def test_a_keyword_of_another_function() -> None:
    with pytest.raises(cxrsync.UsageError, match=r"connections= belongs to cxrsync.pull\(\)\."):
        cxrsync.ls(jpg=True, connections=4)  # type: ignore[call-arg]
    with pytest.raises(cxrsync.UsageError, match=r"no dataset is named\nAdd jpg=True \(MIMIC"):
        cxrsync.pull()
    with pytest.raises(cxrsync.UsageError, match=r"\(int\) is not the name of a dataset"):
        cxrsync.pull(7)  # type: ignore[arg-type]


def test_an_error_of_the_run_says_what_to_do(
    python: Machine, monkeypatch: pytest.MonkeyPatch, server: MiniPhysioNet
) -> None:
    with pytest.raises(cxrsync.NotFetchedYet) as not_yet:
        cxrsync.status(jpg=True)
    assert "dest=" in str(not_yet.value)
    monkeypatch.setenv("PHYSIONET_PASSWORD", "wrong")
    with pytest.raises(cxrsync.CredentialsRefused) as refused:
        cxrsync.pull(jpg=True, shard="p10")
    what, _line, following = str(refused.value).partition("\n")
    assert "demo" in what
    assert "`cxrsync login`" in following
    assert following == refused.value.next_step
    assert "wrong" not in str(refused.value)
    report = refused.value.report
    assert (report.exit_code, report.complete) == (3, False)


def test_an_unexpected_exception_shows_nothing_of_its_text(
    python: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may quote what a server sent. The frames stay, for the report of the bug."""

    said = "cookie=" + "secret"  # so that no line of this file contains it

    async def fail(*_: object) -> None:
        raise RuntimeError(said) from KeyError(said)

    monkeypatch.setattr("cxrsync.api.run_job", fail)
    with pytest.raises(cxrsync.CxrsyncError, match=r"unexpected RuntimeError\. Nothing") as seen:
        cxrsync.pull(jpg=True)
    shown = "".join(traceback.format_exception(seen.value))
    assert said not in shown
    assert "in fail" in shown
    assert seen.value.exit_code == 1


def test_an_error_comes_without_what_is_inside(
    python: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHYSIONET_PASSWORD", "wrong")
    with pytest.raises(cxrsync.CredentialsRefused) as seen:
        cxrsync.pull(jpg=True, shard="p10")
    assert (seen.value.__context__, seen.value.__cause__) == (None, None)
    frames = traceback.extract_tb(seen.value.__traceback__)
    assert all("/api/" in frame.filename or "/tests/" in frame.filename for frame in frames)


def test_what_is_left_out_is_a_warning_of_the_logger(
    python: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    known = cxrsync.ls(jpg=True, shard="p10", only="images")[0].path.split("/")[2]
    cxrsync.pull(jpg=True, subject=[known, 19999999], skip_unknown=True)
    [said] = [each for each in caplog.records if each.levelname == "WARNING"]
    assert said.name == "cxrsync"
    assert "1 of 2 subjects is not in mimic-cxr-jpg 2.1.0, and is left out" in said.message
    assert "19999999" not in said.message


def test_failures_of_single_files_are_no_exception(
    own_files: Path,
    serve: Callable[..., MiniPhysioNet],
    make_machine: Callable[[MiniPhysioNet], Machine],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(make_machine(serve(own_files)), monkeypatch)
    path = next(each.path for each in cxrsync.ls(jpg=True, shard="p10", only="images"))
    (own_files / JPG / VERSION / path).unlink()
    report = cxrsync.pull(jpg=True, shard="p10", retries=0)
    assert (report.exit_code, report.complete) == (5, False)
    assert [each.path for each in report.problems] == [path]
    for text in (repr(report), report._repr_html_()):
        assert "1 file failed" in text
        assert path.rpartition("/")[2] not in text
        assert path.split("/")[2] not in text


def test_events(python: Machine) -> None:
    seen: list[Event] = []
    report = cxrsync.pull(jpg=True, shard="p10", limit=3, on_event=seen.append)
    kinds = [type(each) for each in seen]
    assert kinds.count(FileDone) == report.fetched.files > 3
    assert kinds.index(Started) < kinds.index(FileDone) < kinds.index(Finished)


class Enough(Exception):
    """The caller's own."""


async def test_an_exception_of_the_callback_ends_the_run(python: Machine) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, FileDone):
            raise Enough

    with pytest.raises(Enough):
        cxrsync.pull(jpg=True, shard="p10", on_event=stop)
    with pytest.raises(Enough):
        await cxrsync.apull(jpg=True, shard="p11", on_event=stop)
    assert cxrsync.pull(jpg=True, shard="p10-p11").complete


async def test_a_loop_that_runs_already(python: Machine) -> None:
    """As that of a notebook. ``pull`` has a loop of its own, ``apull`` takes this one."""
    blocking = cxrsync.pull(jpg=True, shard="p10")
    assert blocking.complete
    again = await cxrsync.apull(jpg=True, shard="p10", progress=True)
    assert (again.complete, again.fetched.files) == (True, 0)


async def test_a_cancelled_task_keeps_what_arrived(python: Machine) -> None:
    begun = asyncio.Event()

    def look(event: Event) -> None:
        if isinstance(event, FileDone):
            begun.set()

    task = asyncio.create_task(cxrsync.apull(jpg=True, shard="p10", on_event=look))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    report = await cxrsync.apull(jpg=True, shard="p10")
    assert report.complete
    assert report.present.files > 0


def test_threads(python: Machine) -> None:
    """As of a web server: not the main thread."""
    found: list[cxrsync.Report] = []
    thread = threading.Thread(
        target=lambda: found.append(cxrsync.pull(jpg=True, shard="p10", limit=1))
    )
    thread.start()
    thread.join()
    assert found[0].complete


def test_notices_speak_of_keywords(python: Machine) -> None:
    seen: list[Event] = []
    report = cxrsync.pull(jpg=True, shard="p10", window="00:00-00:01", on_event=seen.append)
    said = [each.text for each in seen if isinstance(each, Notice)]
    if not report.complete:  # it is another minute
        assert any('window="' in each for each in said)


def test_nothing_is_printed_unless_asked(
    python: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cxrsync.pull(jpg=True, shard="p10")
    assert capfd.readouterr() == ("", "")
    cxrsync.pull(jpg=True, shard="p10", progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "complete and verified" in err


def test_only_one_sign_in(python: Machine, server: MiniPhysioNet) -> None:
    cxrsync.pull(jpg=True, shard="p10", limit=2)
    assert image_requests(server) == 2


# ── scripts: processes ─────────────────────────────────────────────────────────────────────────

SCRIPT = """\
import cxrsync
cxrsync.pull(jpg=True, shard="p10", connections=2, progress={progress})
print("the next line of the script")
"""


def script(*, progress: bool) -> list[str]:
    return [sys.executable, "-c", SCRIPT.format(progress=progress)]


def shape(line: str) -> str:
    """A line of progress without its numbers and without its bar, which fills the rest."""
    return re.sub(r"[0-9.,]+", "9", re.sub(r"\|[^|]*\|", "|", line)).strip()


def test_a_script_on_a_terminal_shows_the_line_of_the_command(
    serve: Callable[..., MiniPhysioNet], make_machine: Callable[[MiniPhysioNet], Machine]
) -> None:
    machine = make_machine(serve(rate=150_000))
    words = ["pull", "--jpg", "--shard", "p10", "--connections", "2"]
    shown = []
    with ExitStack() as stack:
        for at, through in enumerate([[], script(progress=True)]):
            variables = machine.variables() | {"CXRSYNC_DEST": f"{machine.dest}{at}"}
            terminal = Terminal(words, variables, through=through)
            stack.callback(terminal.close)
            shown.append(terminal)
        watch(*shown, seconds=PATIENCE)
    command, python = ({shape(line) for line in each.lines} for each in shown)
    for seen in (command, python):
        assert any(line.startswith(("9 % | 9 of 9 files", "9 % | 9/9 files")) for line in seen), (
            seen
        )
        assert any(line.startswith("complete and verified: ") for line in seen)
    assert "the next line of the script" in python


def test_ctrl_c_in_a_script_saves_the_state(python: Machine, server: MiniPhysioNet) -> None:
    endless = faults.Rule("*.jpg", faults.drips(4_000, 100), attempts=None)
    server.set_behaviour(faults=faults.script(endless))  # so what has come stays a part
    process = cxrsync_process([], python.variables(), through=script(progress=False))
    partials = python.dest / JPG / VERSION / ".cxrsync" / "p10" / "partial"

    def has_bytes() -> bool:
        with suppress(FileNotFoundError):  # one that was just published
            found = [each for each in partials.glob("*.*") if each.suffix != ".json"]
            return any(each.stat().st_size for each in found)
        return False

    wait_until(lambda: has_bytes() or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (-signal.SIGINT, "")
    said = "KeyboardInterrupt: stopped as asked; the state is saved. Make the same call again"
    assert said in err
    [log] = (python.dest / JPG / VERSION / ".cxrsync" / "runs").iterdir()
    assert json.loads(log.read_text())["exit_code"] == 130
    server.set_behaviour(faults=None)
    assert cxrsync.pull(jpg=True, shard="p10").resumed.files > 0  # the lock is released
