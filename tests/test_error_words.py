"""Each error that may end a command says what to do next.

The source is read: wherever an error of ours is made, it gets a next step, or its class has one.
"""

import ast
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import cxrsync
from cxrsync.cli.signal_codes import STOPPED_AT_ONCE
from cxrsync.errors import CxrsyncError, Stopped, StoppedAtLimit
from cxrsync.manifest.csv_reader import InvalidTable

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
            yield f"line {node.lineno}: {name}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_each_error_says_what_to_do(file: Path) -> None:
    name = str(file.relative_to(PACKAGE))
    assert list(without_next_step(file.read_text("utf-8"), name)) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("raise UsageError('x')", ["line 1: UsageError"]),
        ("raise errors.UsageError('x') from None", ["line 1: UsageError"]),
        ("raise UsageError('x', next_step='y')", []),
        ("raise Unreachable('x')", []),
        ("raise ValueError('x')", []),
    ],
)
def test_the_test_finds_them(source: str, found: list[str]) -> None:
    assert list(without_next_step(source, "x.py")) == found


def test_a_table_says_it_itself() -> None:
    assert InvalidTable("t.csv", "is empty").next_step


@pytest.mark.parametrize(
    "said", [Stopped.next_step, StoppedAtLimit.next_step, STOPPED_AT_ONCE], ids=range(3)
)
def test_what_was_stopped_is_resumed_in_the_same_words(said: str) -> None:
    assert said.endswith("un the same command again to resume.")
