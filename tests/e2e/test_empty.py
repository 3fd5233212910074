"""An empty value is an error in Python, on the command line and in the environment.

So is an environment variable that belongs to no option.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from e2e.stage import Machine

import cxrsync
from cxrsync.cli.main import cli, run
from cxrsync.config.option_table import JOB_OPTIONS, OPTIONS
from cxrsync.config.parse_job import make_job
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.errors import ExitCode, UsageError

REPEATABLE = {each.name for each in JOB_OPTIONS if each.repeatable}
COMMANDS = ("pull", "ls", "verify", "status", "diff")


@pytest.fixture
def server(shared_server: MiniPhysioNet) -> MiniPhysioNet:
    return shared_server


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A destination for commands in this process, and a server that does not exist."""
    monkeypatch.setenv("CXRSYNC_DEST", str(tmp_path / "mirror"))
    monkeypatch.setenv("CXRSYNC_BASE_URL", "http://127.0.0.1:1/files")
    return tmp_path / "mirror"


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """Restore the umask, which commands in this process change."""
    before = os.umask(0o077)
    os.umask(before)
    yield
    os.umask(before)


def words(command: str, *more: str) -> list[str]:
    return [command, "--jpg", *(("2.0.0", "2.1.0") if command == "diff" else ()), *more]


def params(command: str) -> dict[str, click.Option]:
    """The options of a command by their variables."""
    found = cli.get_command(click.Context(cli), command)
    assert found is not None
    return {
        each.envvar: each
        for each in found.params
        if isinstance(each, click.Option) and isinstance(each.envvar, str)
    }


def nobody() -> Iterator[str]:
    yield from ()


# ── from Python ────────────────────────────────────────────────────────────────────────────────

EMPTY: list[Any] = [[], (), set(), {}, "", " \n", [""], ["", ""], [None], nobody]


@pytest.mark.parametrize("name", sorted(REPEATABLE))
@pytest.mark.parametrize("value", EMPTY, ids=range(len(EMPTY)))
def test_an_empty_list_in_python(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"^{name}= ") as caught:
        cxrsync.pull(
            jpg=True, dest=tmp_path / "mirror", base_url="http://127.0.0.1:1/files",
            **{name: value() if callable(value) else value},
        )  # fmt: skip
    assert "empty" in str(caught.value)
    assert "leave the option out" in caught.value.next_step
    assert not (tmp_path / "mirror").exists()


def test_one_empty_value_among_others() -> None:
    with pytest.raises(UsageError, match="--subject has an empty value"):
        make_job({"jpg": True, "subject": ["10000032", ""]})


def test_none_is_no_filter_and_any_iterable_is_a_list() -> None:
    everything = make_job({"jpg": True})
    assert make_job({"jpg": True, **dict.fromkeys(REPEATABLE)}) == everything
    one = make_job({"jpg": True, "subject": "p10000032"})
    for value in (10000032, ["p10000032"], {"10000032"}, (each for each in ["10000032"])):
        assert make_job({"jpg": True, "subject": value}) == one


TEXTS = sorted({each.name for each in JOB_OPTIONS} - REPEATABLE)


@pytest.mark.parametrize("name", TEXTS)
def test_an_empty_text_in_python(name: str) -> None:
    for value in ("", " "):
        with pytest.raises(UsageError, match=r"is empty$") as caught:
            make_job({"jpg": True, name: value})
        option = "--from" if name == "from_dir" else "--" + name.replace("_", "-")
        assert option in str(caught.value)


# ── on the command line ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "option", ["--subject", "--include", "--dest", "--dataset", "--split-table", "--labeler"]
)
def test_an_empty_argument(
    nowhere: Path, capsys: pytest.CaptureFixture[str], command: str, option: str
) -> None:
    if (
        command in ("verify", "status")
        and option == "--base-url"
        and "--base-url" not in {name for each in params(command).values() for name in each.opts}
    ):
        pytest.skip("it has no such option")
    assert run(words(command, option, "")) == ExitCode.USAGE
    assert f"{option} is empty" in capsys.readouterr().err
    assert not nowhere.exists()


def test_diff_refuses_an_empty_dataset_version(
    nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words("diff", "--dataset-version", "")) == ExitCode.USAGE
    assert "--dataset-version" in capsys.readouterr().err


def test_the_dataset_is_not_guessed_for_an_unset_variable(machine: Machine) -> None:
    assert machine.pull("--jpg", "--only", "docs").code == 0
    assert machine.run("status").code == 0
    for command in ("status", "verify"):
        ended = machine.run(command, "--dataset", "")
        assert ended.code == 2
        assert "--dataset is empty" in ended.err


def test_an_empty_folder_of_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", "--dir", ""]) == ExitCode.USAGE
    assert "--dir is empty" in capsys.readouterr().err


# ── in the environment ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", COMMANDS)
def test_an_empty_variable(
    nowhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    """Also of a flag: CXRSYNC_METADATA_ONLY= must not fetch all images."""
    arguments = [command, *(("2.0.0", "2.1.0") if command == "diff" else ())]
    for number, variable in enumerate(params(command)):
        with monkeypatch.context() as patch:
            patch.setenv("CXRSYNC_JPG", "1")
            patch.setenv(variable, ("", " ", "\n")[number % 3])
            assert run(arguments) == ExitCode.USAGE
        assert f"the variable {variable} is set, but empty" in capsys.readouterr().err
    assert not nowhere.exists()


@pytest.mark.parametrize("variable", ["CXRSYNC_VERBOSE", "CXRSYNC_QUIET", "CXRSYNC_DEBUG"])
def test_an_empty_variable_of_all_commands(
    nowhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
) -> None:
    monkeypatch.setenv(variable, "")
    assert run(words("pull")) == ExitCode.USAGE
    assert variable in capsys.readouterr().err


def test_an_argument_overrides_an_empty_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], nowhere: Path
) -> None:
    monkeypatch.setenv("CXRSYNC_SUBJECT", "")
    assert run(words("status", "--subject", "10000032")) == ExitCode.USAGE
    assert "no mimic-cxr-jpg" in capsys.readouterr().err  # nothing is there yet


def test_an_empty_variable_in_a_child_process(machine: Machine, server: MiniPhysioNet) -> None:
    """In a child process, with a server that would send everything."""
    for variable in ("CXRSYNC_SUBJECT", "CXRSYNC_METADATA_ONLY", "CXRSYNC_DEST"):
        machine.environment = {variable: ""}
        ended = machine.pull("--jpg")
        assert ended.code == 2
        assert f"{variable} is set, but empty" in ended.err
    machine.environment = {"CXRSYNC_SUBJECT": "\n\n10000032\n\n"}
    done = machine.pull("--jpg", "--no-tables")
    assert done.code == 0, done.err
    assert done.event("start")["selection"] == "subject p10000032"


def test_an_empty_variable_of_the_catalogue(machine: Machine) -> None:
    machine.environment = {"CXRSYNC_DATASETS": ""}
    ended = machine.pull("--jpg")
    assert ended.code == 2
    assert "CXRSYNC_DATASETS is set, but empty" in ended.err


# ── variables that no option has ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("variable", "near"),
    [
        ("CXRSYNC_SUBJEKT", "Did you mean CXRSYNC_SUBJECT? "),
        ("CXRSYNC_SUBJECTS", "Did you mean CXRSYNC_SUBJECT"),
        ("CXRSYNC_METADATAONLY", "Did you mean CXRSYNC_METADATA_ONLY"),
        ("CXRSYNC_FROM_DIR", "CXRSYNC_FROM"),
        ("CXRSYNC_CATALOGUE", ""),
        ("CXRSYNC_PATIENT_OF_MINE", ""),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_variable(
    nowhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    variable: str,
    near: str,
) -> None:
    monkeypatch.setenv(variable, "10000032")
    assert run(words(command)) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert f"unknown variable {variable}" in said
    assert near in said
    assert not nowhere.exists()


def test_variables_of_other_commands_and_of_scripts(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.environment = {
        "CXRSYNC_CONNECTIONS": "2", "CXRSYNC_REPAIR": "0", "CXRSYNC_FORMAT": "urls",
        "CXRSYNC_VENV": "/somewhere", "CXRSYNC_RESULT_EXIT_CODE": "5",
        "CXRSYNC_QUIET": "1", "CXRSYNC": "/usr/bin/cxrsync",
    }  # fmt: skip
    assert machine.pull("--jpg", "--only", "docs").code == 0
    for command in ("status", "verify", "ls"):
        ended = machine.run(command, "--jpg")
        assert ended.code in (0, 5), ended.err


def test_help_works_with_unknown_variables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXRSYNC_SUBJEKT", "10000032")
    monkeypatch.setenv("CXRSYNC_SHARD", "")
    assert run(["pull", "--help"]) == 0
    assert "--subject" in capsys.readouterr().out
    assert run(["--version"]) == 0


def test_other_commands_are_not_imported(machine: Machine) -> None:
    """Each module costs time at the start."""
    code = (
        "import sys; from cxrsync.cli.main import run; run(['status', '--jpg']); "
        "sys.exit('cxrsync.cli.demo' in sys.modules or 'cxrsync.cli.ls' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=machine.variables(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_option_has_a_variable() -> None:
    """The options of demo have none, nor have --help, --help-all and --version. The hidden --json
    before a command is the command's own."""
    commands: list[click.Command] = [cli]
    for name in cli.list_commands(click.Context(cli)):
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        below = command.commands.values() if isinstance(command, click.Group) else ()
        commands += [command, *below] if name != "demo" else []
    found = set()
    for command in commands:
        for each in command.params:
            if (
                isinstance(each, click.Option)
                and each.name not in ("version", "help_all")
                and not each.hidden
            ):
                longest = max(each.opts, key=len).removeprefix("--")
                assert each.envvar == "CXRSYNC_" + longest.replace("-", "_").upper()
                found.add(longest)
    assert found == {each.typed.removeprefix("--") for each in OPTIONS}
