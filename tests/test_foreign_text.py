"""The text of a foreign exception is formatted nowhere but in ``sanitize``; the source shows it.

Of an exception that is not in cxrsync's own tree only these may be used: an errno, a path, a
number, and its type. That holds for exceptions that are caught, and for annotated variables.
"""

import ast
import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import cxrsync

PACKAGE = Path(cxrsync.__file__).parent
# The demo's server is no part of the program; ``sanitize`` is where it is done.
FILES = sorted(
    each
    for each in PACKAGE.rglob("*.py")
    if each.relative_to(PACKAGE).parts[0] not in {"demo", "sanitize.py"}
)

HARMLESS = {
    *("errno", "filename", "lineno", "start", "status", "host", "exceptions"),
    # Exceptions themselves, which are watched wherever they are named.
    *("os_error", "certificate_error", "value"),
}
SAFE_CALLS = {"reason_of", "remedy_of", "next_step_of", "trace", "type", "isinstance"}
SHOWS = {"str", "repr", "ascii", "format", "print", "echo", "to_stderr", "to_stdout", "dumps"}


def our_exceptions() -> set[str]:
    """The names of cxrsync's own exceptions, whose text is safe."""
    modules = [
        import_module(each.name)
        for each in pkgutil.walk_packages(cxrsync.__path__, "cxrsync.")
        if not each.name.startswith(("cxrsync.__main__", "cxrsync.demo"))
    ]
    return {
        name
        for module in modules
        for name, each in vars(module).items()
        if inspect.isclass(each)
        and issubclass(each, BaseException)
        and each.__module__.startswith("cxrsync.")
    }


OURS = our_exceptions()


def named(kind: ast.expr) -> set[str]:
    """The last part of every name in a type, as in ``OSError | ssl.SSLError | None``."""
    if isinstance(kind, ast.Constant) and isinstance(kind.value, str):
        return named(ast.parse(kind.value, mode="eval").body)
    if isinstance(kind, ast.Attribute):
        return {kind.attr}
    if isinstance(kind, ast.Name):
        return {kind.id}
    below = [each for each in ast.iter_child_nodes(kind) if isinstance(each, ast.expr)]
    return {name for each in below for name in named(each)}


def is_foreign(kind: ast.expr | None, *, caught: bool = False) -> bool:
    """Whether a type may be a foreign exception's. A type that is ``caught`` is an exception."""
    if kind is None:
        return caught
    looks = ("Error", "error", "Exception", "ExceptionGroup", "Interrupt")
    return any(caught or name.endswith(looks) for name in named(kind) - OURS - {"None"})


def foreign_names(scope: ast.AST) -> set[str]:
    """The variables that may hold such an exception."""
    names: set[str] = set()
    for node in ast.walk(scope):
        if isinstance(node, ast.ExceptHandler) and node.name and is_foreign(node.type, caught=True):
            names.add(node.name)
        elif isinstance(node, ast.arg) and is_foreign(node.annotation):
            names.add(node.arg)
        elif isinstance(node, ast.AnnAssign) and is_foreign(node.annotation):
            names.add(ast.unparse(node.target))
    return names


def shown(node: ast.AST, names: set[str]) -> Iterator[str]:
    """The expressions below ``node`` that would show the text of one of ``names``."""
    if isinstance(node, ast.Call):
        function = ast.unparse(node.func).rpartition(".")[2]
        asks = [each.value for each in node.args[1:2] if isinstance(each, ast.Constant)]
        if function in SAFE_CALLS or (function == "getattr" and HARMLESS & {*asks}):
            return
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) in names:
        if node.attr not in HARMLESS:
            yield ast.unparse(node)
        return
    if isinstance(node, ast.Name) and node.id in names:
        yield node.id
    for each in ast.iter_child_nodes(node):
        yield from shown(each, names)


def sinks(node: ast.AST) -> list[ast.expr]:
    """The expressions that ``node`` turns into text."""
    if isinstance(node, ast.FormattedValue):
        return [node.value]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.Add):
        return [node.left, node.right]
    if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in SHOWS:
        return [*node.args, *(each.value for each in node.keywords)]
    return []


def is_system_text(node: ast.AST) -> bool:
    """Whether the text of an OSError is used, which need not be the system's."""
    if isinstance(node, ast.Attribute):
        return node.attr == "strerror" and ast.unparse(node) != "os.strerror"
    return isinstance(node, ast.Constant) and node.value == "strerror"


def chained(scope: ast.AST) -> Iterator[str]:
    """Where an error of cxrsync's would carry a foreign one into a traceback."""
    for handler in ast.walk(scope):
        if isinstance(handler, ast.ExceptHandler) and is_foreign(handler.type, caught=True):
            for node in ast.walk(handler):
                is_new = isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
                if is_new and not isinstance(node.cause, ast.Constant):  # type: ignore[attr-defined]
                    yield f"line {node.lineno}: not from None"  # type: ignore[attr-defined]


def complaints(source: str) -> set[str]:
    """Every place that would show the text of a foreign exception, and how."""
    tree = ast.parse(source)
    found = set(chained(tree))
    for scope in ast.walk(tree):
        if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
            whole = isinstance(scope, ast.Module)
            names = set() if whole else foreign_names(scope)
            for node in ast.walk(scope):
                line = getattr(node, "lineno", 0)
                for part in sinks(node):
                    found |= {f"line {line}: {each}" for each in shown(part, names)}
                if is_system_text(node):
                    found.add(f"line {line}: strerror")
    return found


def test_no_text_of_a_foreign_exception_is_formatted() -> None:
    found = {
        f"{file.relative_to(PACKAGE)}: {each}"
        for file in FILES
        for each in complaints(file.read_text("utf-8"))
    }
    assert found == set()


def test_which_modules_use_loggers() -> None:
    """diagnostics replaces what libraries say; the Python interface logs notices of our own, and
    dask_client silences Dask's."""
    users = {
        str(file.relative_to(PACKAGE))
        for file in FILES
        if "import logging" in file.read_text("utf-8")
    }
    assert users == {"api/frontend.py", "cli/diagnostics.py", "distributed/dask_client.py"}


def in_handler(kind: str, line: str) -> str:
    return f"def f():\n    try:\n        pass\n    except {kind} as problem:\n        {line}\n"


@pytest.mark.parametrize(
    "line",
    [
        "say(f'broke: {problem}')",
        "say(f'broke: {problem!r}')",
        "say(f'broke: {problem or 1}')",
        "say(f'broke: {problem.strerror}')",
        "say(f'broke: {problem.args[0]}')",
        "say(f'{x.filename}: {problem.reason}')",
        "say(str(problem))",
        "say('broke: ' + str(problem))",
        "say('broke: %s' % problem)",
        "say('broke: {}'.format(problem))",
        "print(problem)",
        "click.echo(problem, err=True)",
        "json.dumps({'why': problem})",
        "why = problem.strerror",
        "why = getattr(problem, 'strerror', '')",
        "say(f'{getattr(problem, \"message\", 1)}')",
        "raise DiskError('broke')",
        "raise DiskError('broke') from problem",
    ],
)
@pytest.mark.parametrize("kind", ["OSError", "(SourceError, ssl.SSLError)", "aiohttp.ClientError"])
def test_what_the_rule_forbids(kind: str, line: str) -> None:
    assert complaints(in_handler(kind, line)) != set()


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("OSError", "say(f'{reason_of(problem)} at {problem.filename}')"),
        ("OSError", "say(f'{type(problem).__name__}, {problem.errno}')"),
        ("OSError", "raise DiskError(reason_of(problem)) from None"),
        ("OSError", "raise"),
        ("aiohttp.ClientError", "say(f'{reason_of(problem.os_error)}')"),
        ("netrc.NetrcParseError", "say(f\"line {getattr(problem, 'lineno', 0)}\")"),
        ("(Interrupted, InvalidResponse)", "say(f'{problem}')"),
        ("InvalidTable", "raise UsageError(str(problem)) from problem"),
    ],
)
def test_what_it_allows(kind: str, line: str) -> None:
    assert complaints(in_handler(kind, line)) == set()


def test_annotated_variables_count() -> None:
    assert complaints("def f(problem: OSError | None) -> str:\n    return str(problem)\n") != set()
    assert (
        complaints("def f():\n    error: BaseException | None = g()\n    print(error)\n") != set()
    )
    assert complaints("def f(problem: SourceError) -> str:\n    return str(problem)\n") == set()
