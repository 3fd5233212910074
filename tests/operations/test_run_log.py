"""The news of runs at work: one file each, and nobody else's is taken away."""

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

from cxrsync.events import RunSummary, Totals
from cxrsync.operations.run_log import runs_at_work, write_progress
from cxrsync.storage.lock_owner import this_process
from cxrsync.storage.tree import Tree

AMOUNTS = {each.name: Totals() for each in fields(RunSummary) if each.type == "Totals"}
SUMMARY = RunSummary("d", "1", "/", "all", **AMOUNTS, requests=0, seconds=0.0, exit_code=-1)
ELSEWHERE = {"host": "elsewhere", "boot": "b", "machine": "m", "space": "s", "start": "1"}
HOUR, DAY = 3600.0, 86_400.0


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    tree.own.mkdir()
    return tree


@asynccontextmanager
async def at_work(tree: Tree, run: str) -> AsyncIterator[Path]:
    """A run that tells of itself; its file."""
    path = tree.own / "progress" / f"{run}.json"
    task = asyncio.create_task(write_progress(tree, run, lambda: SUMMARY))
    async with asyncio.timeout(60):
        while not path.exists():
            await asyncio.sleep(0.001)
        yield path
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def put(tree: Tree, name: str, age: float = 0.0, **words: Any) -> Path:
    """The news that a run left, so many seconds ago."""
    path = tree.own / name
    path.parent.mkdir(exist_ok=True)
    run = {} if path.parent == tree.own else {"run": path.stem, **this_process()}
    path.write_text(json.dumps({**SUMMARY.as_json(), **run, **words}))
    os.utime(path, (time.time() - age,) * 2)
    return path


def told(tree: Tree) -> list[str]:
    return [run["run"] for run in runs_at_work(tree)]


@pytest.fixture
def ended() -> dict[str, Any]:
    """What a process was that has ended."""
    code = (
        "import json; from cxrsync.storage.lock_owner import this_process as "
        "it; print(json.dumps(it()))"
    )
    words = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return dict(json.loads(words.stdout))


async def test_each_run_tells_of_itself_and_takes_its_own_news_away(tree: Tree) -> None:
    async with at_work(tree, "20250101T000000.1Z") as one:
        async with at_work(tree, "20250102T000000.1Z") as two:
            assert one.stat().st_mode & 0o777 == 0o600
            assert told(tree) == ["20250102T000000.1Z", "20250101T000000.1Z"]
            newest = runs_at_work(tree)[0]
            assert newest.items() >= {**this_process(), "dataset": "d", "exit_code": -1}.items()
        assert (one.exists(), two.exists()) == (True, False)
        assert told(tree) == ["20250101T000000.1Z"]
    assert list(one.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["progress/killed.json", "progress.json"])
async def test_who_was_killed_is_not_at_work(tree: Tree, ended: dict[str, Any], name: str) -> None:
    killed = put(tree, name, **({"pid": ended["pid"]} if name == "progress.json" else ended))
    assert told(tree) == []
    async with at_work(tree, "now"):
        assert not killed.exists()
        assert told(tree) == ["now"]


async def test_another_process_with_the_number_of_a_killed_one(tree: Tree) -> None:
    killed = put(tree, "progress/killed.json", start="1")
    assert told(tree) == []
    async with at_work(tree, "now"):
        assert not killed.exists()


@pytest.mark.parametrize(
    ("age", "counts", "is_kept"),
    [(0.0, True, True), (-5.0, True, True), (HOUR, False, True), (2 * DAY, False, False)],
)
async def test_a_run_on_another_machine(
    tree: Tree, ended: dict[str, Any], age: float, counts: bool, is_kept: bool
) -> None:
    """Its number means nothing here, whether or not a process has it."""
    news = [
        put(tree, f"progress/{pid}.json", age, **ELSEWHERE, pid=pid)
        for pid in (os.getpid(), ended["pid"])
    ]
    assert len(told(tree)) == (2 if counts else 0)
    async with at_work(tree, "now"):
        assert [path.exists() for path in news] == [is_kept, is_kept]


def test_a_run_that_is_stopped_is_still_there(tree: Tree) -> None:
    put(tree, "progress/stopped.json", age=HOUR)
    assert told(tree) == ["stopped"]


@pytest.mark.parametrize("name", ["progress/theirs.json", "progress.json"])
def test_a_run_of_another_user(name: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    with tempfile.TemporaryDirectory(prefix="cxrsync-shared-") as folder:
        tree = Tree(Path(folder))
        tree.own.mkdir()
        path = put(tree, name, run="theirs", pid=os.getppid(), start=start_of(os.getppid()))
        path.chmod(0o644)
        for each in (tree.root, tree.own, path.parent):
            each.chmod(0o755)
        os.setresuid(65534, 65534, 0)
        try:
            with pytest.raises(PermissionError):
                os.kill(os.getppid(), 0)
            assert told(tree) == ["theirs"]
        finally:
            os.setresuid(0, 0, 0)


def start_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"pid": 1, "files": {}}'])
async def test_what_tells_nothing_is_left_for_a_day(tree: Tree, content: str) -> None:
    strange = put(tree, "progress/strange.json")
    strange.write_text(content)
    async with at_work(tree, "now"):
        assert told(tree) == ["now"]
        assert strange.exists()
    os.utime(strange, (time.time() - 2 * DAY,) * 2)
    async with at_work(tree, "now"):
        assert not strange.exists()


async def test_where_there_is_no_folder_for_it(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run goes on, and tells nothing."""
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
    assert told(tree) == []
    assert (tree.own / "progress").read_text() == "somebody's"
