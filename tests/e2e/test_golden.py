"""What other people's scripts stand on, word for word: help, JSON, and what lies in ``.cxrsync``.

The files in tests/golden, the man pages in man/, and the catalogue as JSON in configs/ are compared
with, and written anew by

    GOLDEN=rewrite scripts/test tests/e2e/test_golden.py

What differs from run to run (times, sizes, digests, places, versions) stands there as ``<time>``
and the like.
"""

import json
import os
import re
import signal
import sqlite3
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from e2e.stage import JPG, VERSION, Ended, Machine, wait_until

from cxrsync import __version__
from cxrsync.catalog.load import as_quick_json
from cxrsync.cli.commands import COMMANDS
from cxrsync.cli.help.manual import man_pages
from cxrsync.demo.data.tree import DATASETS, VERSIONS, TreeSpec, make_tree
from cxrsync.demo.server import faults
from cxrsync.demo.server.faults import Rule, script
from cxrsync.demo.server.server import MiniPhysioNet

GOLDEN = Path(__file__).parent.parent / "golden"
MAN = Path(__file__).parent.parent.parent / "man"
CONFIGS = MAN.parent / "configs"
MANIFEST = "SHA256SUMS.txt"
PARTITIONS = ("p10", "root")
# What it names, and how it looks. In this order: a digest holds what looks like a pid.
NAMES = {
    "<sha256>": re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])"),
    "<token>": re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])"),
    "<digest>": re.compile(r"(?<![0-9a-f])[0-9a-f]{16}(?![0-9a-f])"),
    "<UTC>": re.compile(r"[0-9]{8}T[0-9]{6}(\.[0-9]+)?Z"),
    "<address>": re.compile(r"https://(localhost|127\.0\.0\.1):[0-9]+"),
    "<beat>": re.compile(r"(?<=<token>\.)[0-9]+"),
    "<number>": re.compile(r"(?<=\.)[0-9]{3,}(?=\.)"),
}
# Numbers that tell of this run, or of this machine, and of nothing that was promised.
MEASURED = {
    "seconds", "requests", "size", "resumed", "bytes_from_source", "bytes_moving", "present_bytes",
    "verified_bytes", "partial_bytes", "snapshot_age", "need", "free", "bytes", "pid",
    "connections", "oldest_age", "recent_bytes",
}  # fmt: skip
# A number as soon as the progress file is written a second time, some seconds after the first.
LATER = {"manifest_bytes_total"}
# Told when something takes long, or goes wrong on the way: not each time.
BY_CHANCE = {"progress", "retry", "connections"}


def compare(name: str, text: str, folder: Path = GOLDEN) -> None:
    """Compare with a golden file, or write it."""
    file = folder / name
    if os.environ.get("GOLDEN") == "rewrite":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    assert text == file.read_text("utf-8")


def compare_json(name: str, value: object) -> None:
    compare(name, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def renamed(text: str, machine: Machine) -> str:
    text = (
        text.replace(str(machine.dest), "<dest>")
        .replace(machine.base_url, "<server>")
        .replace(__version__, "<version>")
    )
    for name, looks in NAMES.items():
        text = looks.sub(name, text)
    return text


def settled(value: Any, machine: Machine, key: str = "") -> Any:
    """A value out of JSON, with what differs from run to run named."""
    if isinstance(value, dict):
        measured = key in MEASURED
        return {
            renamed(name, machine): settled(each, machine, key if measured else name)
            for name, each in value.items()
        }
    if isinstance(value, list):
        each_settled = [settled(each, machine, key) for each in value]
        # Files end in no order that was promised.
        return sorted(each_settled, key=lambda e: e["path"]) if key == "problems" else each_settled
    if isinstance(value, str):
        return renamed(value, machine)
    # 0 tells something (nothing came from the source), but for an age, which is small by chance.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if key in MEASURED and is_number and (value or key.endswith("_age")):
        return "<number>"
    return value


def shape(value: Any, machine: Machine) -> Any:
    """The keys of a file, and what kind of thing stands behind each."""
    if isinstance(value, dict):
        return {
            renamed(key, machine): None if key in LATER else shape(each, machine)
            for key, each in value.items()
        }
    if isinstance(value, list):
        shapes = [shape(each, machine) for each in value]
        return [each for number, each in enumerate(shapes) if each not in shapes[:number]]
    kinds = {bool: "boolean", int: "number", float: "number", str: "text"}
    return None if value is None else f"<{kinds[type(value)]}>"


def told(ended: Ended, machine: Machine) -> dict[str, Any]:
    """What a command said to a program; files in the order of their paths."""
    lines = [settled(json.loads(line), machine) for line in ended.out.splitlines()]
    lines = [line for line in lines if line.get("event") not in BY_CHANCE]
    files = iter(
        sorted((line for line in lines if line.get("event") == "file"), key=lambda e: e["path"])
    )
    lines = [next(files) if line.get("event") == "file" else line for line in lines]
    return {"exit": ended.code, "stdout": lines}


# ── help ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command: str, tmp_path: Path) -> None:
    words = [*([command] if command else []), "--help"]
    machine = Machine(tmp_path, tmp_path, "", tmp_path, {"COLUMNS": "80", "NO_COLOR": "1"})
    ended = machine.run(*words)
    assert ended.code == 0
    compare(f"help/{command or 'cxrsync'}.txt", ended.out.replace(__version__, "<version>"))


@pytest.mark.parametrize("name", man_pages())
def test_man_page(name: str) -> None:
    compare(name, man_pages()[name], MAN)


def test_no_man_page_is_left_over() -> None:
    assert {str(each.relative_to(MAN)) for each in MAN.glob("man*/*")} == set(man_pages())


# ── JSON ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def files_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trees that the golden files tell of, which stay as they are."""
    root = tmp_path_factory.mktemp("golden") / "files"
    for dataset in DATASETS:
        for version in VERSIONS:
            make_tree(root, dataset, version, TreeSpec(patients=40, image_bytes=20_000))
    return root


@pytest.fixture
def server(shared_server: MiniPhysioNet) -> MiniPhysioNet:
    return shared_server


# Few and always the same.
SELECTED = ("--jpg", "--shard", "p10", "--split", "test")


@pytest.fixture
def pulled(machine: Machine) -> Ended:
    return machine.pull(*SELECTED)


def test_pull(machine: Machine, pulled: Ended) -> None:
    compare_json("pull.json", told(pulled, machine))
    compare_json("pull-again.json", told(machine.pull(*SELECTED), machine))


def test_pull_that_fails(serve: Callable[..., MiniPhysioNet], make_machine: Any) -> None:
    server = serve(faults=script(Rule("*.jpg", faults.says(HTTPStatus.NOT_FOUND), attempts=None)))
    machine: Machine = make_machine(server)
    compare_json("pull-failed.json", told(machine.pull(*SELECTED), machine))


def test_verify(machine: Machine, pulled: Ended) -> None:
    assert pulled.code == 0
    words = ("verify", "--json", "--progress", "none")
    compare_json("verify.json", told(machine.run(*words), machine))
    compare_json("verify-scrub.json", told(machine.run(*words, "--scrub", "30d"), machine))
    first, second, *_others = sorted((machine.dest / JPG / VERSION).rglob("*.jpg"))
    first.write_bytes(b"not that")
    second.unlink()
    first.with_name("stranger.txt").touch()
    compare_json("verify-faults.json", told(machine.run(*words), machine))


def test_status(machine: Machine, pulled: Ended) -> None:
    assert pulled.code == 0
    compare_json("status.json", told(machine.run("status", "--json"), machine))


def test_ls(machine: Machine) -> None:
    compare_json("ls.json", told(machine.run("ls", "--format", "json", *SELECTED), machine))


def test_info(machine: Machine, pulled: Ended) -> None:
    assert pulled.code == 0
    compare_json("info.json", told(machine.run("info", "--jpg", "--json"), machine))
    compare_json("info-all.json", told(machine.run("info", "--json"), machine))


def test_head(machine: Machine) -> None:
    ended = machine.run("head", "split", "--json", "--rows", "2")
    compare_json("head.json", told(ended, machine))


def test_diff(machine: Machine) -> None:
    ended = machine.run("diff", "2.0.0", VERSION, "--jpg", "--json", "--only", "tables")
    compare_json("diff.json", told(ended, machine))


def test_dry_run(machine: Machine) -> None:
    ended = machine.run("pull", "--dry-run", "--json", *SELECTED)
    compare_json("dry-run.json", told(ended, machine))


def test_access_and_whoami(machine: Machine) -> None:
    for command in ("access", "whoami"):
        ended = machine.run(command, "--json")
        assert ended.code == 0
        compare_json(f"{command}.json", shape(ended.events, machine))


# ── on disk ────────────────────────────────────────────────────────────────────────────────────


def below(own: Path, machine: Machine) -> dict[str, Any]:
    """The names below ``.cxrsync``; of each JSON file its keys, of each database its schema."""
    try:
        return dict(sorted(look(own, machine)))
    except FileNotFoundError:  # a beat of the lock's, between its being listed and read
        return below(own, machine)


def look(own: Path, machine: Machine) -> Iterator[tuple[str, Any]]:
    for path in sorted(own.rglob("*")):
        name = renamed(str(path.relative_to(own)), machine)
        if path.is_dir() and not path.is_symlink():
            yield f"{name}/", None
        elif path.suffix == ".json" or path.parent.name == "lock":
            yield name, shape(json.loads(path.read_text("utf-8")), machine)
        elif path.suffix == ".sqlite3" and path.parent.name == "p10":
            yield name, schema(path)
        elif path.suffix != ".new" and not path.name.endswith("-journal"):
            yield name, None


def schema(path: Path) -> list[str]:
    db = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    try:
        made = [sql for (sql,) in db.execute("SELECT sql FROM sqlite_master ORDER BY name") if sql]
        (version,) = db.execute("PRAGMA user_version").fetchone()
    finally:
        db.close()
    return [f"user_version {version}", *(" ".join(sql.split()) for sql in made)]


@pytest.fixture
def at_work(serve: Callable[..., MiniPhysioNet], make_machine: Any) -> Iterator[Machine]:
    """A machine whose pull has an image half there, and gets the rest drop by drop."""
    server = serve(faults=script(Rule("*.jpg", faults.drips(2_000, 50), attempts=None)))
    machine: Machine = make_machine(server)
    process = machine.start("pull", *SELECTED, "--connections", "1", "--stall-timeout", "600")
    own = machine.dest / JPG / VERSION / ".cxrsync"
    try:
        wait_until(
            lambda: (
                process.poll() is not None
                or (
                    any(own.glob("p10/partial/*.json"))
                    and any(not path.name.endswith(".json") for path in own.glob("p10/partial/*"))
                    and (own / "p10/state.sqlite3").exists()
                    and any(own.glob("progress/*.json"))
                )
            )
        )
        assert process.poll() is None
        yield machine
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def test_the_disk_while_a_pull_is_at_work(at_work: Machine) -> None:
    own = at_work.dest / JPG / VERSION / ".cxrsync"
    compare_json("disk-at-work.json", below(own, at_work))
    ended = at_work.run("status", "--json")
    compare_json("status-at-work.json", shape(ended.events, at_work))


def test_the_disk_after_a_pull(machine: Machine, pulled: Ended) -> None:
    assert pulled.code == 0
    [bad, *_others] = sorted((machine.dest / JPG / VERSION).rglob("*.jpg"))
    bad.write_bytes(b"not that")
    assert machine.run("verify", "--repair").code == 0  # what it replaces goes to the trash
    compare_json("disk-after.json", below(machine.dest / JPG / VERSION / ".cxrsync", machine))


def test_the_catalogue_as_json() -> None:
    """It is made of configs/datasets.yaml; without it each start would parse YAML."""
    compare("datasets.json", as_quick_json(CONFIGS / "datasets.yaml").decode(), CONFIGS)
