"""Imports go down only, and nothing but ``source`` and ``demo`` knows aiohttp.

    cli → api → report, engine → store, source, manifest, options → job → selection → catalog →
    model → errors, words, sanitize

Rooms of one storey do not know each other: ``report`` hears events, ``engine`` introduces
``store``, ``source`` and ``manifest``. ``demo`` stands beside the house; only ``cli`` opens it.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import cxrsync

PACKAGE = Path(cxrsync.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# From the top down; a room may import what lies on lower storeys, and itself.
STOREYS = [
    {"__main__"},
    {"cli"},
    {"api"},
    {"report", "engine"},
    {"store", "source", "manifest", "options"},
    {"job"},
    {"selection"},
    {"catalog"},
    {"model"},
    {"errors", "words", "sanitize"},
]
HEIGHT = {room: -number for number, storey in enumerate(STOREYS) for room in storey}
SPEAKS_HTTP = {"source", "demo"}


def room_of(module: str) -> str:
    """``cxrsync.engine.plan`` → ``engine``; the package itself is ``cxrsync``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def module_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(source: str, module: str, *, is_package: bool) -> Iterator[str]:
    """The modules that a file imports, wherever it does: at its top, in functions, for types.

    ``from cxrsync import api`` counts as ``cxrsync.api``; so do modules named to import_module.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: None if is_package and node.level == 1 else -node.level]
            base = [*(above if node.level else []), *([node.module] if node.module else [])]
            yield from (".".join([*base, alias.name]) for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            named = node.value.partition(":")[0]
            if named.startswith("cxrsync.") and named.replace(".", "").isidentifier():
                yield named


def complaint(importer: str, target: str) -> str | None:
    """What is wrong with ``importer`` importing ``target``, or None."""
    room = room_of(importer)
    if target.split(".")[0] == "aiohttp":
        return None if room in SPEAKS_HTTP else f"{importer} imports aiohttp"
    if target.split(".")[0] != "cxrsync":
        return None
    other = room_of(target)
    if other == room or target == "cxrsync.__version__":
        return None
    if room == "cxrsync":  # the package's own face
        is_right = other == "api"
    elif room == "demo":
        is_right = False  # it plays PhysioNet: what it shared with us it could not test
    elif other == "demo":
        is_right = room == "cli"
    else:
        is_right = other in HEIGHT and room in HEIGHT and HEIGHT[other] < HEIGHT[room]
    return None if is_right else f"{importer} imports {target}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_down(file: Path) -> None:
    module = module_of(file)
    targets = imported(file.read_text("utf-8"), module, is_package=file.name == "__init__.py")
    complaints = {complaint(module, target) for target in targets}
    assert complaints - {None} == set()


def test_every_room_has_its_storey() -> None:
    rooms = {room_of(module_of(file)) for file in FILES}
    assert rooms - set(HEIGHT) == {"cxrsync", "demo"}
    assert set(HEIGHT) - rooms <= {"__main__"}


@pytest.mark.parametrize(
    ("importer", "text"),
    [
        ("cxrsync.errors", "import cxrsync.model"),
        ("cxrsync.model", "from cxrsync.catalog import load"),
        ("cxrsync.catalog", "from cxrsync import job"),
        ("cxrsync.job", "from cxrsync.store.state import State"),
        ("cxrsync.store.state", "from cxrsync.source.base import Source"),
        ("cxrsync.source.local", "def f():\n    from cxrsync.manifest import parse"),
        ("cxrsync.manifest.parse", "from ..store import layout"),
        ("cxrsync.report.progress", "if TYPE_CHECKING:\n    from cxrsync.engine.pull import pull"),
        ("cxrsync.engine.pull", "from cxrsync.report import summary"),
        ("cxrsync.engine.pull", "from cxrsync.api import run_job"),
        ("cxrsync.engine.pull", "from cxrsync import pull"),
        ("cxrsync.engine.pull", "import_module('cxrsync.cli.pull')"),
        ("cxrsync.engine.pull", "_LATER = 'cxrsync.report.html:page'"),
        ("cxrsync.engine.pull", "import aiohttp"),
        ("cxrsync.api", "from aiohttp.web import Request"),
        ("cxrsync.cli.pull", "def f():\n    import aiohttp.client as http"),
        ("cxrsync.api", "from cxrsync.demo.server import MiniPhysioNet"),
        ("cxrsync.demo.server", "from cxrsync.model import Kind"),
        ("cxrsync", "from cxrsync.engine.pull import pull"),
    ],
)
def test_what_the_rule_forbids(importer: str, text: str) -> None:
    [target] = imported(text, importer, is_package=False)
    assert complaint(importer, target) is not None


@pytest.mark.parametrize(
    ("importer", "text"),
    [
        ("cxrsync.cli.demo", "from cxrsync.demo.server import MiniPhysioNet"),
        ("cxrsync.cli.pull", "from cxrsync.engine.stop import Stop"),
        ("cxrsync.engine.pull", "from cxrsync.source.base import Source"),
        ("cxrsync.engine.pull", "from .plan import Plan"),
        ("cxrsync.source.session", "import aiohttp"),
        ("cxrsync.job", "from cxrsync import __version__"),
        ("cxrsync", "from cxrsync.api import pull"),
    ],
)
def test_what_it_allows(importer: str, text: str) -> None:
    [target] = imported(text, importer, is_package=False)
    assert complaint(importer, target) is None
