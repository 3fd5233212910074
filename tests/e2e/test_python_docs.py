"""Each example of docs/python.md is run, in its order, against the miniature server."""

import ast
import asyncio
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest
from e2e.stage import Machine

import cxrsync
from cxrsync import errors, events

PAGE = (Path(cxrsync.__file__).parent.parent / "docs" / "python.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_each_example_runs(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As cells of one notebook, in which ``await`` may stand outside of a function."""
    for name, value in machine.variables().items():
        if name not in {"PYTHONWARNINGS", "CXRSYNC_DEST"}:
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(machine.home)
    shared: dict[str, Any] = {}
    for number, text in enumerate(BLOCKS):
        code = compile(
            text.replace('"/data"', repr(str(machine.dest))),
            f"example {number}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        )  # fmt: skip
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(eval(code, shared))
        else:
            exec(code, shared)
    assert len(BLOCKS) > 8
    assert "pull() has no keyword shards\nDid you mean shard=?" in capsys.readouterr().out
    assert isinstance(shared["report"], cxrsync.Report)
    assert shared["report"].complete
    assert len(shared["table"]) == len(shared["files"]) > 0


def table(heading: str) -> Iterator[list[str]]:
    """The cells of the table whose first column has this heading."""
    rows = PAGE.partition(f"| {heading} |")[2].split("\n\n")[0].splitlines()[2:]
    for row in rows:
        yield [cell.strip() for cell in row.strip("|").split("|")]


def words(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def test_the_events_are_all_there() -> None:
    named = []
    for kinds, said, _when in table("event"):
        named += words(kinds)
        known = {field.name for kind in words(kinds) for field in fields(getattr(events, kind))}
        nested = {field.name for field in fields(events.Outcome)} if ":" in said else set()
        assert set(words(said)) <= known | nested, kinds
    assert sorted(named) == sorted(kind.__name__ for kind in get_args(events.Event))


def test_the_exceptions_have_their_codes() -> None:
    rows = [*table("exception")]
    for kinds, code, _when in rows:
        for name in words(kinds):
            kind = getattr(cxrsync, name)
            assert issubclass(kind, errors.CxrsyncError)
            assert not code or kind.exit_code == int(code)
    codes = {int(code) for _kinds, code, _when in rows if code}
    assert codes == set(range(2, 12))
