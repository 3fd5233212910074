"""Names that are not UTF-8, locales without such letters, and streams with another encoding."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.scripted import ScriptedServer, command_process, differences, noise
from e2e.stage import Machine

from cxrsync.demo.server.server import MiniPhysioNet

SHARD = ("--jpg", "--shard", "p10", "--progress", "none")
# The bytes of a name, as the system has them.
NAMES = {
    "Latin-1": b"gr\xfc\xdfe",
    "UTF-8": "grüße".encode(),
    "signs of an address": b"a?b#c%20d&e=f\\g",
    "neither": b"\xff\xfe",
}
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LOCALES: dict[str, dict[str, str | None]] = {
    "UTF-8": {"PYTHONUTF8": "1"},
    "ASCII": dict(ASCII),
    "ASCII streams": {"PYTHONIOENCODING": "ascii:strict"},
    "UTF-16 streams": {"PYTHONIOENCODING": "utf-16"},
}


@pytest.fixture
def machine(
    shared_server: MiniPhysioNet, make_machine: Callable[[MiniPhysioNet], Machine]
) -> Machine:
    return make_machine(shared_server)


@pytest.mark.parametrize("name", NAMES)
def test_a_destination(machine: Machine, tmp_path: Path, name: str) -> None:
    """Pulled, read by every reader, and pulled from, from a folder of any name into another."""
    machine.dest = tmp_path / os.fsdecode(NAMES[name])
    assert machine.run("pull", *SHARD).code == 0
    again = machine.pull(*SHARD)
    assert again.summary["files"]["present"] == again.summary["files"]["selected"] > 0
    # What a program reads names the very bytes.
    assert os.fsencode(again.summary["root"]).startswith(os.fsencode(machine.dest))
    for words in (("status",), ("verify",), ("ls",), ("status", "--json")):
        assert machine.run(*words, "--jpg").code == 0, words
    report = tmp_path / os.fsdecode(NAMES[name] + b".html")
    assert machine.run("status", "--jpg", "--html", str(report)).code == 0
    assert report.exists()
    source = machine.dest
    machine.dest = tmp_path / os.fsdecode(b"into " + NAMES[name])
    for option in ("--from", "--link-from"):
        done = machine.pull(*SHARD, option, str(source))
        assert done.code == 0, done.err


@pytest.mark.parametrize("locale", ["UTF-8", "ASCII", "ASCII streams"])
def test_a_locale(machine: Machine, tmp_path: Path, locale: str) -> None:
    machine.environment = LOCALES[locale]
    machine.dest = tmp_path / os.fsdecode(NAMES["UTF-8"])
    done = machine.run_process("pull", "--json", *SHARD)
    assert done.code == 0, done.err
    assert json.loads(done.out.splitlines()[-1])["exit_code"] == 0


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("words", [("--help",), ("pull", "--help")], ids=" ".join)
def test_help(machine: Machine, locale: str, words: tuple[str, ...]) -> None:
    """In UTF-8, as everything that is written to standard output."""
    machine.environment = LOCALES[locale]
    done = machine.run_process(*words)
    assert (done.code, done.err) == (0, "")
    machine.environment = {}
    assert done.out == machine.run(*words).out


def test_names_at_the_source_that_the_locale_cannot_write(tmp_path: Path) -> None:
    """They are written as they are at the source: in UTF-8."""
    files = {"plain.txt": noise("plain", 100), "grüße.txt": noise("other", 100)}
    with ScriptedServer(files) as server:
        words = ("pull", "--json", "--progress", "none")
        done = command_process(tmp_path, *words, base_url=server.base_url, variables=ASCII)
    assert (done.code, differences(tmp_path, files)) == (0, []), done.err
