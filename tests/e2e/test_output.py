"""Output that cannot be written: what a command does is done all the same, and it says so."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from e2e.command_line import cxrsync_process
from e2e.stage import JPG, PATIENCE, VERSION, Ended, Machine, fingerprint

from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.ui.log_file import LogFile

MakeMachine = Callable[[MiniPhysioNet], Machine]

OLD = "2.0.0"
SHARD = ("--jpg", "--shard", "p10")

# Each writes to stdout, and ends well.
COMMANDS = {
    "pull --json": ("pull", "--json", "--progress", "none", *SHARD),
    "verify --json": ("verify", "--json", "--jpg"),
    "ls": ("ls", "--jpg"),
    "ls --format json": ("ls", "--jpg", "--format", "json"),
    "diff": ("diff", OLD, VERSION, "--jpg"),
    "diff --json": ("diff", OLD, VERSION, "--jpg", "--json"),
    "status": ("status", "--jpg"),
    "status --json": ("status", "--jpg", "--json"),
    "pull --dry-run": ("pull", "--dry-run", *SHARD),
    "pull --dry-run --json": ("pull", "--dry-run", "--json", *SHARD),
    "--help": ("--help",),
    "pull --help": ("pull", "--help"),
    "--version": ("--version",),
}
SOME = ("pull --json", "ls", "status --json", "--help")


@pytest.fixture(scope="module")
def pulled(module_server: MiniPhysioNet, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine that has pulled a shard, and knows both versions' manifests. Nobody changes it."""
    place = tmp_path_factory.mktemp("pulled")
    server = module_server
    machine = Machine(place, place / "mirror", server.base_url, server.ca_file)
    assert machine.pull(*SHARD, "--dataset-version", VERSION).code == 0
    assert machine.run("ls", "--jpg", "--dataset-version", OLD).code == 0
    machine.environment = {"CXRSYNC_DATASET_VERSION": VERSION}
    return machine


def redirected(
    machine: Machine, where: str, *words: str, first: str = "", **environment: str
) -> Ended:
    """A command with its output redirected as a shell has it, ``first`` something else.

    Real shells do it for what needs one, and for commands whose interpreter begins quickly.
    """
    variables = {**machine.variables(), **environment}
    if words[0] == "diff":  # it names its versions itself
        del variables["CXRSYNC_DATASET_VERSION"]
    if not first and not words[0].startswith("--"):
        return redirected_fork(words, variables, where.split())
    done = subprocess.run(
        ["bash", "-c", f'{first} exec "$0" -m cxrsync "$@" {where}', sys.executable, *words],
        env=variables,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def redirected_fork(words: tuple[str, ...], variables: dict[str, str], where: list[str]) -> Ended:
    """The same without a shell and a new interpreter."""
    closing = {"<&-": 0, ">&-": 1, "2>&-": 2}
    with open("/dev/full", "w", encoding="utf-8") as full:
        streams = {
            name: full for name, word in (("stdout", ">/dev/full"), ("stderr", "2>/dev/full"))
            if word in where
        }  # fmt: skip
        closed = [closing[word] for word in where if word in closing]
        assert len(streams) + len(closed) == len(where)
        with cxrsync_process(words, variables, closed=closed, **streams) as process:
            out, err = process.communicate(timeout=PATIENCE)
    return Ended(process.returncode, out or "", err or "")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk(pulled: Machine, command: str) -> None:
    done = redirected(pulled, ">/dev/full", *COMMANDS[command])
    assert done.code == 7
    assert "standard output" in done.err
    assert "No space left" in done.err
    assert "Free disk space" in done.err
    assert "Traceback" not in done.err
    assert "Exception ignored" not in done.err


@pytest.mark.parametrize("command", SOME)
def test_no_output_at_all(pulled: Machine, command: str) -> None:
    done = redirected(pulled, ">&-", *COMMANDS[command])
    assert done.code == 7
    assert "standard output: Bad file descriptor" in done.err
    assert "since it was closed" in done.err
    assert "disk space" not in done.err
    assert "Traceback" not in done.err
    # Who has nothing to write there does not miss it.
    for words in (("verify", "--jpg"), ("pull", *SHARD)):
        assert redirected(pulled, ">&-", *words).code == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_who_has_gone(pulled: Machine, command: str) -> None:
    if command.startswith("diff"):
        pulled = Machine(pulled.home, pulled.dest, pulled.base_url, pulled.ca_file)
    code, err = pulled.run_unread(*COMMANDS[command])
    assert code == 0
    assert "Error" not in err
    assert "Exception" not in err


def test_a_reader_who_has_gone_changes_no_exit_code(pulled: Machine) -> None:
    """All shards are asked for, and only one is here."""
    words = ("verify", "--jpg", "--all", "--json")
    assert pulled.run(*words).code == 5
    assert pulled.run_unread(*words)[0] == 5


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_disk_that_takes_a_part(pulled: Machine, tmp_path: Path, unbuffered: str) -> None:
    into = tmp_path / "list.txt"
    done = redirected(
        pulled, f">{into}", "ls", "--jpg", first="ulimit -f 4;", PYTHONUNBUFFERED=unbuffered
    )
    assert (done.code, into.stat().st_size) == (7, 4096)
    assert "File too large" in done.err
    assert "ulimit -f" in done.err


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-"])
@pytest.mark.parametrize("command", SOME)
def test_nobody_is_told(pulled: Machine, command: str, where: str) -> None:
    done = redirected(pulled, where, *COMMANDS[command])
    assert (done.code, done.err) == (0, "")
    assert bool(done.out)
    if "json" in command:
        assert json.loads(done.out.splitlines()[-1])


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("pull", *SHARD, "--progress", "bar"), 0),
        (("-v", "pull", *SHARD, "--progress", "log"), 0),
        (("verify", "--jpg", "--all"), 5),
        (("ls", "--jpg", "--shard", "p20"), 2),
        (("--no-such-option",), 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_exit_code_that_nobody_is_told(
    pulled: Machine, words: tuple[str, ...], code: int, where: str
) -> None:
    assert redirected(pulled, where, *words).code == code


# ── what a command does is done all the same ───────────────────────────────────────────────────


@pytest.mark.parametrize("where", [">/dev/full", ">&-", ">&- 2>&- <&-"])
def test_everything_is_pulled(
    shared_server: MiniPhysioNet, make_machine: MakeMachine, jpg: Path, where: str
) -> None:
    machine = make_machine(shared_server)
    done = redirected(machine, where, "pull", "--json", *SHARD)
    assert done.code == 7
    if "2>" not in where:
        assert "complete and verified" in done.err
        assert "standard output" in done.err
    root = machine.dest / JPG / VERSION
    assert fingerprint(root, below="files/") == fingerprint(jpg, below="files/p10/")
    assert machine.run("verify", "--jpg").code == 0


def test_the_first_that_applies(pulled: Machine, tmp_path: Path) -> None:
    """Output that was lost is not all that went wrong."""
    words = ("pull", "--json", "--progress", "none", *SHARD, "--dest", str(tmp_path))
    wrong = redirected(pulled, ">/dev/full", *words, PHYSIONET_PASSWORD="wrong")
    assert wrong.code == 3
    assert "standard output" in wrong.err
    assert "PHYSIONET_PASSWORD" in wrong.err
    limited = redirected(pulled, ">/dev/full", *words, "--max-files", "1")
    assert limited.code == 7


def test_a_log_file_has_what_is_said_each_line_with_its_time(
    machine: Machine, tmp_path: Path
) -> None:
    log = tmp_path / "pull.log"
    done = machine.run("pull", "--jpg", "--shard", "p10", "--log-file", str(log))
    assert done.code == 0, done.err
    lines = log.read_text().splitlines()
    for line in lines:
        datetime.fromisoformat(line.partition(" ")[0])
    assert "complete and verified" in lines[-1]
    assert log.stat().st_mode & 0o777 == 0o600
    assert machine.run("verify", "--jpg", "--log-file", str(log)).code == 0
    assert len(log.read_text().splitlines()) > len(lines)


def test_a_log_file_says_why_a_run_has_ended(machine: Machine, tmp_path: Path) -> None:
    log = tmp_path / "pull.log"
    done = replace(machine, environment={"PHYSIONET_PASSWORD": "wrong"}).run(
        "pull", "--jpg", "--shard", "p10", "--log-file", str(log)
    )
    assert done.code == 3
    said = [line.partition(" ")[2] for line in log.read_text().splitlines()]
    assert said[-2:] == done.err.splitlines()[-2:]


def test_a_log_file_that_cannot_be_written_ends_the_command_before_it_begins(
    machine: Machine, tmp_path: Path
) -> None:
    log = tmp_path / "no-folder" / "pull.log"
    done = machine.run("pull", "--jpg", "--shard", "p10", "--log-file", str(log))
    assert done.code == 7
    assert str(log) in done.err
    assert not machine.dest.exists()


@pytest.mark.parametrize("words", ["pull --jpg --shard p10", "verify --jpg"])
def test_a_log_file_that_is_lost_on_the_way_is_said_once_and_stops_nothing(
    words: str, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder is removed after the first line."""
    if words.startswith("verify"):
        assert machine.pull("--jpg", "--shard", "p10").code == 0
    log = tmp_path / "folder" / "log"
    log.parent.mkdir()
    write = LogFile.write

    def write_and_lose(self: LogFile, line: str) -> None:
        write(self, line)
        shutil.rmtree(log.parent, ignore_errors=True)

    monkeypatch.setattr(LogFile, "write", write_and_lose)
    options = ["--log-file", str(log), "--summary-file", str(log.with_name("summaries"))]
    done = machine.run(*words.split(), *options)
    assert done.code == 7, done.err
    assert done.err.count(f"the log {log} cannot be written") == 1
    assert done.err.count("the summary cannot be written to") == 1
    assert "Everything else is done all the same" in done.err
    assert "create its folder" in done.err.casefold()
    assert "complete and verified" in done.err or ": 17 verified (" in done.err
    assert machine.run("verify", "--jpg").code == 0


def test_verify_names_extra_files(machine: Machine) -> None:
    assert machine.pull("--jpg", "--shard", "p10").code == 0
    extra = machine.dest / JPG / VERSION / "files/p10/notes.txt"
    extra.write_text("mine")
    done = machine.run("verify", "--jpg")
    assert done.code == 0
    assert "extra: files/p10/notes.txt" in done.err
