"""What ``import cxrsync`` offers: all of it documented, and nothing heavy imported for it."""

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from types import FunctionType
from typing import Any, get_args

import pytest

import cxrsync
from cxrsync import api, errors, events

FUNCTIONS = [
    "aiter_verified", "apull", "dry_run", "files", "iter_verified", "ls", "pull", "status",
    "verify",
]  # fmt: skip
SECTIONS = ["Args:", "Returns:", "Raises:", "Example:"]
HEAVY = {"aiohttp", "yaml", "keyring", "msgspec", "jinja2", "tqdm", "click", "asyncio", "ssl",
         "sqlite3", "IPython", "numpy", "pandas"}  # fmt: skip


def test_everything_that_is_named_is_there() -> None:
    assert [*cxrsync.__all__] == sorted(set(cxrsync.__all__), key=cxrsync.__all__.index)
    for name in cxrsync.__all__:
        assert getattr(cxrsync, name) is not None
    assert set(api.__all__) - {"TreeOptions"} <= set(cxrsync.__all__)
    assert [
        name for name in sorted(cxrsync.__all__) if isinstance(getattr(cxrsync, name), FunctionType)
    ] == FUNCTIONS
    with pytest.raises(AttributeError, match=r"'nothing'$"):
        _ = cxrsync.nothing  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"'login'\. `cxrsync login` is typed in a terminal"):
        _ = cxrsync.login  # type: ignore[attr-defined]


def test_every_error_that_ends_a_call_has_a_name() -> None:
    """Those that end a run with a code of their own, at least."""
    named = {getattr(cxrsync, name) for name in cxrsync.__all__}
    kinds = [each for each in vars(errors).values() if inspect.isclass(each)]
    ours = [each for each in kinds if issubclass(each, errors.CxrsyncError)]
    for each in set(ours) - {errors.CxrsyncError}:
        below_the_root = each.__mro__[: each.__mro__.index(errors.CxrsyncError)]
        assert named.intersection(below_the_root), each
    codes = {each.exit_code for each in named if inspect.isclass(each) and each in ours}
    assert codes == set(errors.ExitCode) - {errors.ExitCode.COMPLETE, errors.ExitCode.TERMINATED}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_documented(name: str) -> None:
    """Its arguments, its result, its errors, an example; and the text names every parameter."""
    function = getattr(cxrsync, name)
    text = inspect.getdoc(function) or ""
    found = [line for line in text.splitlines() if line in SECTIONS]
    assert found == SECTIONS
    arguments = text.partition("Args:")[2].partition("Returns:")[0]
    for parameter in inspect.signature(function).parameters.values():
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}
        assert f"    {stars.get(parameter.kind, '')}{parameter.name}: " in arguments
    result = text.partition("Returns:")[2].partition("Raises:")[0]
    assert ": " not in result, "a documentation generator would take what is before it for a type"
    for error in re.findall(r"^    (\w+): ", text.partition("Raises:")[2], re.MULTILINE):
        assert error in {*cxrsync.__all__, "KeyboardInterrupt"}
    assert f"cxrsync.{name}(" in text.partition("Example:")[2]


@pytest.mark.parametrize("name", sorted(set(cxrsync.__all__) - {"__version__", *FUNCTIONS}))
def test_every_class_is_documented(name: str) -> None:
    known = getattr(cxrsync, name)
    assert known.__doc__
    assert not known.__doc__.startswith(f"{name}("), "that is made by dataclass"
    for member, value in vars(known).items():
        if not member.startswith("_") and isinstance(value, property | Callable):  # type: ignore[arg-type]
            assert inspect.getdoc(value), f"{name}.{member}"


def test_every_event_is_documented() -> None:
    for event in get_args(events.Event):
        assert is_dataclass(event)
        assert event.__doc__
        assert not event.__doc__.startswith(f"{event.__name__}("), event
        assert all(each.name.isidentifier() for each in fields(event))


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys\nprint(json.dumps([*sys.modules]))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    modules: list[str] = json.loads(done.stdout)
    return {each.partition(".")[0] for each in modules}


def test_the_import_is_light() -> None:
    """A type checker sees all the same; a program that never calls anything pays for nothing."""
    code = "import cxrsync; assert 'pull' in dir(cxrsync); assert cxrsync.__version__"
    assert modules_after(code) & HEAVY == set()
    used: dict[str, Any] = {"asyncio": "import cxrsync; cxrsync.pull"}
    for module, use in used.items():  # so that the test can fail
        assert module in modules_after(use)
