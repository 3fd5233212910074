"""cxrsync takes each command line of README.md and docs/; one of each kind is run against the
miniature server."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from docs.pages import Typed, typed_in, typed_in_blocks, typed_in_text
from e2e.conftest import files_root, make_machine, module_server, shared_server
from e2e.stage import DICOM, JOB_DEFAULTS, JPG, VERSION, Machine

from cxrsync.cli.main import Verbosity, cli
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.errors import CxrsyncError

__all__ = ["files_root", "make_machine", "module_server", "shared_server"]

# What no test here runs, wherever it stands; docs/recipes/index.md says so, too.
NOT_RUN = {"login", "logout", "demo"}
# These end so outside of the hours that they name, too.
ALSO_RIGHT = {"--window": 9}
TYPED = typed_in_blocks()
NAMED = typed_in_text()
RUN = [typed for typed in TYPED if typed.command not in NOT_RUN and not typed.not_run]
KINDS = {typed.kind: typed for typed in reversed(RUN)}
# Of the machine that the pages speak of; here it is a folder.
PLACES = re.compile(r"^/(?=(?:archive|data|local|mnt|project|scratch)(?:/|$))")
READERS = {typed.command for typed in RUN} - {"pull", "mirror"}


@pytest.fixture
def reader(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files_root: Path,
    shared_server: MiniPhysioNet,
    make_machine: Callable[[MiniPhysioNet], Machine],
) -> Machine:
    """A reader of the pages: with whole trees, and the files and folders that the pages name."""
    machine = make_machine(shared_server)
    monkeypatch.chdir(tmp_path)
    machine.dest = tmp_path / "physionet.org/files"
    for dataset in (JPG, DICOM):
        copied(files_root / dataset / VERSION, machine.dest / dataset / VERSION)
        assert machine.pull("--dataset", dataset, "--no-fsync").code == 0
    copied(files_root / JPG, tmp_path / "mnt/disk/physionet.org/files" / JPG)
    for folder in ("project/cxr", "data/physionet.org/files"):
        copied(files_root / JPG / VERSION, tmp_path / folder / JPG / VERSION)
    copied(files_root / JPG / "2.0.0", tmp_path / "archive" / JPG / "2.0.0")
    image = min((machine.dest / JPG / VERSION / "files").rglob("*.jpg"))
    Path("large.csv").write_text(f"dicom_id\n{image.stem}\n")
    Path("my-split.csv").write_text(f"dicom_id,split\n{image.stem},holdout\n")
    Path("train").mkdir()
    Path("tables").mkdir()
    Path("train/files").symlink_to(machine.dest / JPG / VERSION / "files")
    shutil.copy(machine.ca_file, "institution.pem")
    jobs = f"{JOB_DEFAULTS}jobs:\n  - {{name: jpg, dataset: {JPG}, shard: p10}}\n"
    for name in ("nightly.yaml", "jobs.yaml"):
        Path(name).write_text(jobs)
    return machine


def copied(source: Path, target: Path) -> None:
    """A tree of hard links: cxrsync never writes into a published file."""
    shutil.copytree(source, target, copy_function=os.link)


def refusal(typed: Typed) -> str:
    """Let click take a command line, and run nothing; return what it complains of, or ""."""
    number = typed.words.index(typed.command) if typed.command else len(typed.words)
    rest = list(typed.words[number + 1 :])
    try:
        root = cli.make_context("cxrsync", [*typed.words[:number], "pull"], obj=Verbosity())
        command = cli.get_command(root, typed.command or "pull")
        if command is None:
            return "no such command"
        if rest or typed in TYPED:  # else the text only names the command
            command.make_context(typed.command, rest, parent=root)
    except click.exceptions.Exit:  # --help
        return ""
    except (click.ClickException, CxrsyncError) as refused:
        return str(refused)
    return ""


def test_cxrsync_takes_every_line() -> None:
    lines = {typed.line: typed for typed in (*TYPED, *NAMED)}
    wrong = [(typed.page, line, refusal(typed)) for line, typed in lines.items() if refusal(typed)]
    assert not wrong


def test_a_block_that_is_not_run_says_why() -> None:
    text = "<!-- not run: it is far -->\n\n```sh\ncxrsync ls\n```\n\n```sh\ncxrsync ls\n```"
    assert [typed.not_run for typed in typed_in(text)] == ["it is far", ""]


def test_a_line_that_is_wrong_is_found() -> None:
    assert [
        typed.words for typed in typed_in("```sh\nA=1 nohup cxrsync pul -n >x 2>&1 | b\n```")
    ] == [("pul", "-n")]
    assert "no such command" in refusal(Typed("", ("pul",)))
    assert "--spilt" in refusal(Typed("", ("pull", "--spilt", "test")))


def test_what_is_not_run_is_there_and_is_said() -> None:
    assert {each.command for each in TYPED} >= NOT_RUN
    page = (Path(__file__).parents[2] / "docs/recipes/index.md").read_text()
    assert all(f"`{command}`" in page or f"`{command} " in page for command in NOT_RUN)


def run_all(reader: Machine, commands: set[str]) -> None:
    """Run one line of each kind of these commands, in the order of the pages."""
    kinds = [typed for typed in RUN if typed.command in commands and KINDS[typed.kind] is typed]
    assert kinds
    wrong = []
    for typed in kinds:
        words = [PLACES.sub(f"{os.getcwd()}/", word) for word in typed.words]
        done = reader.run(*words)
        right = {0, *(ALSO_RIGHT[word] for word in words if word in ALSO_RIGHT)}
        if done.code not in right:
            wrong.append(f"{typed.page}: {typed.line}: exit {done.code}\n{done.err}")
    assert not wrong, "\n".join(wrong)


def test_pulls(reader: Machine) -> None:
    run_all(reader, {"pull"})


def test_readers(reader: Machine) -> None:
    run_all(reader, READERS)


def test_mirrors(reader: Machine) -> None:
    run_all(reader, {"mirror"})
