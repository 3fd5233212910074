"""The progress files of active runs: one for each run, and no run removes another active one's."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from cxrsync.clock import time_of
from cxrsync.events import RunSummary, Totals
from cxrsync.operations.run_log import active_runs, run_stamp, run_times, write_progress
from cxrsync.storage.lock_owner import this_process
from cxrsync.storage.tree import Tree

TOTALS = {each.name: Totals() for each in fields(RunSummary) if each.type == "Totals"}
SUMMARY = RunSummary("d", "1", "/", "all", **TOTALS, requests=0, seconds=0.0, exit_code=-1)
ELSEWHERE = {"host": "elsewhere", "boot": "b", "machine": "m", "space": "s", "start": "1"}
HOUR, DAY = 3600.0, 86_400.0


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    tree.own.mkdir()
    return tree


@asynccontextmanager
async def at_work(tree: Tree, run: str) -> AsyncIterator[Path]:
    """Write the progress file of a run during the block; yield its path."""
    path = tree.own / "progress" / f"{run}.json"
    task = asyncio.create_task(write_progress(tree, run, lambda: SUMMARY))
    async with asyncio.timeout(60):
        while not path.exists():
            await asyncio.sleep(0.001)
        yield path
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def write_file(tree: Tree, name: str, age: float = 0.0, **words: Any) -> Path:
    """Write a progress file that was updated ``age`` seconds ago."""
    path = tree.own / name
    path.parent.mkdir(exist_ok=True)
    run = {} if path.parent == tree.own else {"run": path.stem, **this_process()}
    path.write_text(json.dumps({**SUMMARY.as_json(), **run, **words}))
    os.utime(path, (time.time() - age,) * 2)
    return path


def active_stamps(tree: Tree) -> list[str]:
    return [run["run"] for run in active_runs(tree)]


@pytest.fixture
def ended() -> dict[str, Any]:
    """The identity of a process that has ended."""
    code = (
        "import json; from cxrsync.storage.lock_owner import this_process as "
        "it; print(json.dumps(it()))"
    )
    words = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return dict(json.loads(words.stdout))


async def test_each_run_writes_and_removes_its_own_progress_file(tree: Tree) -> None:
    async with at_work(tree, "20250101T000000.1Z") as one:
        async with at_work(tree, "20250102T000000.1Z") as two:
            assert one.stat().st_mode & 0o777 == 0o600
            assert active_stamps(tree) == ["20250102T000000.1Z", "20250101T000000.1Z"]
            newest = active_runs(tree)[0]
            assert newest.items() >= {**this_process(), "dataset": "d", "exit_code": -1}.items()
        assert (one.exists(), two.exists()) == (True, False)
        assert active_stamps(tree) == ["20250101T000000.1Z"]
    assert list(one.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["progress/killed.json", "progress.json"])
async def test_a_killed_run_is_not_active(tree: Tree, ended: dict[str, Any], name: str) -> None:
    killed = write_file(tree, name, **({"pid": ended["pid"]} if name == "progress.json" else ended))
    assert active_stamps(tree) == []
    async with at_work(tree, "now"):
        assert not killed.exists()
        assert active_stamps(tree) == ["now"]


async def test_another_process_with_the_id_of_a_killed_run_is_not_that_run(tree: Tree) -> None:
    killed = write_file(tree, "progress/killed.json", start="1")
    assert active_stamps(tree) == []
    async with at_work(tree, "now"):
        assert not killed.exists()


@pytest.mark.parametrize(
    ("age", "counts", "is_kept"),
    [(0.0, True, True), (-5.0, True, True), (HOUR, False, True), (2 * DAY, False, False)],
)
async def test_a_run_on_another_machine(
    tree: Tree, ended: dict[str, Any], age: float, counts: bool, is_kept: bool
) -> None:
    """Its process id says nothing on this machine, whether or not a process has it."""
    files = [
        write_file(tree, f"progress/{pid}.json", age, **ELSEWHERE, pid=pid)
        for pid in (os.getpid(), ended["pid"])
    ]
    assert len(active_stamps(tree)) == (2 if counts else 0)
    async with at_work(tree, "now"):
        assert [path.exists() for path in files] == [is_kept, is_kept]


def test_a_suspended_run_is_active(tree: Tree) -> None:
    write_file(tree, "progress/stopped.json", age=HOUR)
    assert active_stamps(tree) == ["stopped"]


@pytest.mark.parametrize("name", ["progress/theirs.json", "progress.json"])
def test_a_run_of_another_user(name: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    with tempfile.TemporaryDirectory(prefix="cxrsync-shared-") as folder:
        tree = Tree(Path(folder))
        tree.own.mkdir()
        path = write_file(tree, name, run="theirs", pid=os.getppid(), start=start_of(os.getppid()))
        path.chmod(0o644)
        for each in (tree.root, tree.own, path.parent):
            each.chmod(0o755)
        os.setresuid(65534, 65534, 0)
        try:
            with pytest.raises(PermissionError):
                os.kill(os.getppid(), 0)
            assert active_stamps(tree) == ["theirs"]
        finally:
            os.setresuid(0, 0, 0)


def start_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"pid": 1, "files": {}}'])
async def test_an_unreadable_progress_file_is_kept_for_a_day(tree: Tree, content: str) -> None:
    strange = write_file(tree, "progress/strange.json")
    strange.write_text(content)
    async with at_work(tree, "now"):
        assert active_stamps(tree) == ["now"]
        assert strange.exists()
    os.utime(strange, (time.time() - 2 * DAY,) * 2)
    async with at_work(tree, "now"):
        assert not strange.exists()


async def test_a_run_without_a_progress_folder_continues(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run continues without a progress file."""
    (tree.own / "progress").write_text("somebody's")
    tried = asyncio.Event()

    def snapshot() -> RunSummary:
        tried.set()
        return replace(SUMMARY)

    task = asyncio.create_task(write_progress(tree, "now", snapshot))
    await asyncio.wait_for(tried.wait(), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert active_stamps(tree) == []
    assert (tree.own / "progress").read_text() == "somebody's"


def test_a_run_whose_clock_is_behind_is_dated_after_the_newest(tree: Tree) -> None:
    """Else the trash would be emptied of what it moves there in the next night."""
    assert run_stamp(tree, 1_800_000_000.0) == "20270115T080000.000000Z"
    (tree.own / "runs").mkdir()
    for name in ("20270113T080000Z", "20270114T080000.5Z", "20270631T080000Z"):
        (tree.own / "runs" / f"{name}.json").touch()
    (tree.own / "runs/notes.txt").touch()
    newest = time_of("20270114T080000.5Z")
    assert sorted(run_times(tree)) == [newest - DAY - 0.5, newest]
    assert run_stamp(tree, 1_800_000_000.0) == "20270115T080000.000000Z"
    assert time_of(run_stamp(tree, 1_000_000_000.25)) == newest + 1.25
