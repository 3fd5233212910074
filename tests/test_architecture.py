"""Imports go down only and form no circle; only the sources and the demo import aiohttp.

    cli → api, mirror → operations, ui → sync → plan → dataset → transfer, preflight → sources,
    storage, manifest → config → catalog → stats → events, cancellation, report_data, byte_samples →
    progress_events → model → errors, disk_remedies, humanize, sanitize, sorted_merge, clock,
    threads, utf8_stream → exit_codes

Packages of one level do not import each other, nor ``mirror`` ``ui``: ``ui`` receives events,
``dataset`` connects ``sources``, ``storage`` and ``manifest``. ``demo`` has no level; only ``cli``
imports it.

Modules, functions, parameter lists and packages have a maximum size.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import cxrsync

PACKAGE = Path(cxrsync.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# From top to bottom. A package (or a module outside of packages) may import itself and whatever is
# on a lower level.
LEVELS: list[set[str]] = [
    {"__main__"},
    {"cli"},
    {"api", "mirror", "distributed"},
    {"operations", "ui"},
    {"sync"},
    {"plan"},
    {"dataset"},
    {"transfer", "preflight"},
    {"sources", "storage", "manifest"},
    {"config"},
    {"catalog"},
    {"stats"},
    {"events", "cancellation", "report_data", "byte_samples"},
    {"progress_events"},
    {"model"},
    {
        "errors",
        "disk_remedies",
        "humanize",
        "sanitize",
        "sorted_merge",
        "clock",
        "threads",
        "utf8_stream",
    },
    {"exit_codes"},
]
HEIGHT = {package: -number for number, level in enumerate(LEVELS) for package in level}
MAY_IMPORT_AIOHTTP = {"sources", "demo"}


def package_of(module: str) -> str:
    """``cxrsync.plan.planner`` → ``plan``; ``cxrsync`` for the top package itself; "" for a module
    without a level."""
    parts = module.split(".")[1:]
    if not parts or parts[0].startswith("__version"):
        return "cxrsync"
    return parts[0] if parts[0] == "demo" or parts[0] in HEIGHT else ""


def module_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def imported(
    tree: ast.Module, module: str, *, is_package: bool, names: bool = True
) -> Iterator[str]:
    """The modules that a file imports anywhere: at its top, in functions, for types.

    ``from cxrsync import api`` counts as ``cxrsync.api``. With ``names``, strings that name a
    module (for import_module) count, too.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: None if is_package and node.level == 1 else -node.level]
            base = [*(above if node.level else []), *([node.module] if node.module else [])]
            yield from (".".join([*base, alias.name]) for alias in node.names)
        elif names and isinstance(node, ast.Constant) and isinstance(node.value, str):
            named = node.value.partition(":")[0]
            if named.startswith("cxrsync.") and named.replace(".", "").isidentifier():
                yield named


def complaint(importer: str, target: str) -> str | None:
    """The reason why ``importer`` may not import ``target``, or None."""
    package = package_of(importer)
    if target.split(".")[0] == "aiohttp":
        return None if package in MAY_IMPORT_AIOHTTP else f"{importer} imports aiohttp"
    if target.split(".")[0] != "cxrsync" or target == "cxrsync.__version__":
        return None
    other = package_of(target)
    if other == package:
        return None
    if package == "cxrsync":  # its __init__ offers the Python interface, and its errors
        is_right = other in {"api", "errors"}
    elif package == "demo" or (package, other) in {("mirror", "ui"), ("distributed", "ui")}:
        is_right = False  # code that it shared with cxrsync could not be tested with it
    elif other == "demo":
        is_right = package == "cli"
    else:
        is_right = other in HEIGHT and package in HEIGHT and HEIGHT[other] < HEIGHT[package]
    return None if is_right else f"{importer} imports {target}"


def targets_of(file: Path, *, names: bool = True) -> set[str]:
    is_package = file.name == "__init__.py"
    return set(imported(parsed(file), module_of(file), is_package=is_package, names=names))


def test_imports_go_down() -> None:
    complaints = {
        complaint(module_of(file), target) for file in FILES for target in targets_of(file)
    }
    assert complaints - {None} == set()


def test_every_module_has_a_level() -> None:
    modules = {module_of(file) for file in FILES if file.stat().st_size}
    packages = {module_of(file) for file in FILES if file.name == "__init__.py"}
    assert [each for each in sorted(modules - packages) if not package_of(each)] == []


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """The sets of modules that import each other in a circle."""
    reach = {name: set(others) for name, others in graph.items()}
    for over in graph:
        for name in graph:
            if over in reach[name]:
                reach[name] |= reach[over]
    found = [{other for other in reach[name] if name in reach[other]} for name in graph]
    return [each for number, each in enumerate(found) if each and each not in found[:number]]


def test_imports_form_no_circle() -> None:
    modules = {module_of(file): file for file in FILES if file.name != "__init__.py"}
    graph: dict[str, set[str]] = {}
    for module, file in modules.items():
        # Without names: a module that is imported only when a command is called closes no circle.
        targets = targets_of(file, names=False)
        targets |= {target.rpartition(".")[0] for target in targets}
        graph[module] = (targets & modules.keys()) - {module}
    assert circles(graph) == []


def test_circles() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [{"b", "c"}]


@pytest.mark.parametrize(
    ("importer", "text"),
    [
        ("cxrsync.errors", "import cxrsync.model"),
        ("cxrsync.model", "from cxrsync.catalog.load import load"),
        ("cxrsync.catalog.load", "from cxrsync.config import job"),
        ("cxrsync.config.job", "from cxrsync.storage.state_db import State"),
        ("cxrsync.storage.state_db", "from cxrsync.sources.base import Source"),
        ("cxrsync.sources.local", "def f():\n    from cxrsync.manifest import parse"),
        ("cxrsync.manifest.parse", "from ..storage import layout"),
        ("cxrsync.ui.progress", "if TYPE_CHECKING:\n    from cxrsync.operations.pull import pull"),
        ("cxrsync.operations.pull", "from cxrsync.ui import summary_text"),
        ("cxrsync.sync.partition_sync", "from cxrsync.operations.pull import pull"),
        ("cxrsync.plan.planner", "from cxrsync.sync.scheduler import Scheduler"),
        ("cxrsync.dataset.sibling_dataset", "from cxrsync.plan import capacity"),
        ("cxrsync.transfer.transfer", "from cxrsync.dataset.fetch_manifest import fetch_manifest"),
        ("cxrsync.operations.pull", "from cxrsync.api import run_job"),
        ("cxrsync.operations.pull", "from cxrsync import pull"),
        ("cxrsync.operations.pull", "from cxrsync.news import everything"),
        ("cxrsync.operations.pull", "import_module('cxrsync.cli.pull')"),
        ("cxrsync.operations.pull", "_LATER = 'cxrsync.ui.progress:Progress'"),
        ("cxrsync.operations.pull", "import aiohttp"),
        ("cxrsync.api", "from aiohttp.web import Request"),
        ("cxrsync.cli.pull", "def f():\n    import aiohttp.client as http"),
        ("cxrsync.api", "from cxrsync.demo.server.server import MiniPhysioNet"),
        ("cxrsync.demo.server.server", "from cxrsync.model import Kind"),
        ("cxrsync", "from cxrsync.operations.pull import pull"),
    ],
)
def test_forbidden_imports(importer: str, text: str) -> None:
    [target] = imported(ast.parse(text), importer, is_package=False)
    assert complaint(importer, target) is not None


@pytest.mark.parametrize(
    ("importer", "text"),
    [
        ("cxrsync.cli.demo", "from cxrsync.demo.server.server import MiniPhysioNet"),
        ("cxrsync.cli.pull", "from cxrsync.cancellation import CancelToken"),
        ("cxrsync.operations.pull", "from cxrsync.sources.base import Source"),
        ("cxrsync.operations.pull", "from .resolve import resolve"),
        ("cxrsync.sync.scheduler", "from .publisher import Publisher"),
        ("cxrsync.sources.http.session", "import aiohttp"),
        ("cxrsync.config.job", "from cxrsync import __version__"),
        ("cxrsync", "from cxrsync.api import pull"),
        ("cxrsync", "from cxrsync.errors import UsageError"),
    ],
)
def test_allowed_imports(importer: str, text: str) -> None:
    [target] = imported(ast.parse(text), importer, is_package=False)
    assert complaint(importer, target) is None


# ── sizes ──────────────────────────────────────────────────────────────────────────────────────

MAX_MODULE_LINES = 350
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 6
MAX_SHARE_OF_A_PACKAGE = 0.2


def lines_of(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def too_large(file: Path) -> Iterator[str]:
    """What is too large in a module, and its size."""
    if (lines := lines_of(file)) > MAX_MODULE_LINES:
        yield f"{module_of(file)}: {lines} lines"
    for node in ast.walk(parsed(file)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        assert node.end_lineno is not None
        if (lines := node.end_lineno - node.lineno + 1) > MAX_FUNCTION_LINES:
            yield f"{module_of(file)}.{node.name}: {lines} lines"
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        names = {each.arg for each in given} - {"self", "cls"}
        if len(names) > MAX_PARAMETERS:
            yield f"{module_of(file)}.{node.name}: {len(names)} parameters"


def test_modules_and_functions_are_short() -> None:
    assert [each for file in FILES for each in too_large(file)] == []


def test_no_package_is_too_large() -> None:
    lines = {file: lines_of(file) for file in FILES}
    total = sum(lines.values())
    for package in {file.relative_to(PACKAGE).parts[0] for file in FILES}:
        share = sum(
            each for file, each in lines.items() if file.relative_to(PACKAGE).parts[0] == package
        )
        assert share <= MAX_SHARE_OF_A_PACKAGE * total, package
