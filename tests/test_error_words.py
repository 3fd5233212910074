"""Each error that may end a command says what to do next.

The source is read: wherever an error of ours is made, it gets a next step, or its class has one.
"""

import ast
import asyncio
import pkgutil
from collections.abc import Iterator
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path

import pytest
from e2e.command_line import errors_with_next_steps

import cxrsync
from cxrsync.cancellation import NOTHING_CHANGED, STATE_IS_SAVED, CancelToken
from cxrsync.cli.main import run, say_error
from cxrsync.cli.signal_codes import STOPPED, STOPPED_AT_ONCE
from cxrsync.errors import CxrsyncError, ExitCode, StoppedAtLimit, UsageError
from cxrsync.manifest.csv_reader import InvalidTable
from cxrsync.operations.exit_status import explain

Capture = pytest.CaptureFixture[str]

PACKAGE = Path(cxrsync.__file__).parent
FILES = sorted(file for file in PACKAGE.rglob("*.py") if "demo" not in file.parts)
# They end no command: a file's failure gets its words in the summary, and reports are fetched one
# by one if the archive cannot be read.
OTHERS = {
    "InvalidArchive": "storage/zip_reader.py",
    "CxrsyncError": "sync/scheduler.py",
}


def kinds() -> dict[str, type[CxrsyncError]]:
    """Every class of our errors, by its name."""
    found: dict[str, type[CxrsyncError]] = {}
    for module in pkgutil.walk_packages(cxrsync.__path__, "cxrsync."):
        if not module.name.startswith("cxrsync.demo") and not module.name.endswith("__main__"):
            values = vars(import_module(module.name)).items()
            found |= {
                name: kind
                for name, kind in values
                if isinstance(kind, type) and issubclass(kind, CxrsyncError)
            }
    return found


KINDS = kinds()


def without_next_step(source: str, file: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        kind = KINDS.get(name)
        if kind is None or kind.next_step or kind is InvalidTable or OTHERS.get(name) == file:
            continue
        if all(each.arg not in {"next_step", None} for each in node.keywords):
            yield f"{file}, line {node.lineno}: {name}"


def test_each_error_says_what_to_do() -> None:
    names = {str(file.relative_to(PACKAGE)): file.read_text("utf-8") for file in FILES}
    assert [each for name, text in names.items() for each in without_next_step(text, name)] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("raise UsageError('x')", ["x.py, line 1: UsageError"]),
        ("raise errors.UsageError('x') from None", ["x.py, line 1: UsageError"]),
        ("raise UsageError('x', next_step='y')", []),
        ("raise Unreachable('x')", []),
        ("raise ValueError('x')", []),
    ],
)
def test_the_test_finds_them(source: str, found: list[str]) -> None:
    assert list(without_next_step(source, "x.py")) == found


def test_a_table_says_it_itself() -> None:
    assert InvalidTable("t.csv", "is empty").next_step


def stopped(safe: str) -> str:
    """The next step after a command that a signal has ended."""
    cancel = CancelToken(safe)
    cancel.request(ExitCode.INTERRUPTED)
    error = explain(asyncio.CancelledError(), cancel)
    assert isinstance(error, CxrsyncError)
    return error.next_step


@pytest.mark.parametrize(
    "said", [stopped(STATE_IS_SAVED), StoppedAtLimit.next_step, STOPPED_AT_ONCE], ids=range(3)
)
def test_what_was_stopped_is_resumed_in_the_same_words(said: str) -> None:
    assert said.endswith("un the same command again to resume.")


@pytest.mark.parametrize("said", [stopped(NOTHING_CHANGED), stopped(""), STOPPED], ids=range(3))
def test_what_has_nothing_to_resume_is_run_again(said: str) -> None:
    assert said.endswith("Run the same command again.")


@pytest.mark.parametrize(
    ("words", "resumes"),
    [
        (["pull", "--jpg"], True),
        (["-v", "mirror", "jobs.yaml"], True),
        (["verify", "--jpg"], False),
        (["status"], False),
        (["demo"], False),
        ([], False),
    ],
    ids=str,
)
def test_only_commands_that_go_on_speak_of_resuming(
    words: list[str], resumes: bool, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def stop(**_settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cxrsync.cli.main.cli.main", stop)
    assert run(words) == ExitCode.INTERRUPTED
    assert ("to resume" in capsys.readouterr().err) == resumes


@pytest.mark.parametrize(("step", "passes"), [("Do that.", True), ("", False), (" ", False)])
def test_a_next_step_that_is_empty_at_run_time_is_found(
    step: str, passes: bool, capsys: Capture
) -> None:
    found = nullcontext() if passes else pytest.raises(AssertionError, match="what to do next")
    with found, errors_with_next_steps():
        say_error(UsageError("wrong", next_step=step))
