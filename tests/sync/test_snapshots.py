"""The snapshots of states that a run publishes: one soon, some during the run, one at its end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from cxrsync.config.selection import Selection
from cxrsync.errors import DiskError, LockLost
from cxrsync.model import FileRecord
from cxrsync.storage.state_db import State
from cxrsync.storage.state_snapshot import STATE_NAME, working_copies
from cxrsync.storage.tree import Tree
from cxrsync.sync import partitions as module
from cxrsync.sync.partitions import SNAPSHOT_SECONDS, Partitions, is_due

SHARDS = ("p10", "p11")
Opened = Callable[[], Awaitable[Partitions]]


def record(number: int, shard: str = "p10") -> FileRecord:
    path = f"files/{shard}/p10000001/s50000001/{number:04}.jpg"
    return FileRecord(path, "a" * 64, 1, 1, "https://x", '"tag"', 1.5e9)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path / "mirror")
    tree.create()
    return tree


@pytest.fixture
async def opened(tree: Tree) -> AsyncIterator[Opened]:
    """Open the partitions, for one run after another; close them at the end."""
    open_ones: list[Partitions] = []

    async def take() -> Partitions:
        partitions = Partitions(tree, SHARDS, "now")
        await partitions.open(0.0, lambda _event: None, pytest.fail)
        open_ones.append(partitions)
        return partitions

    yield take
    for each in open_ones:
        await each.close()


def records_seen(tree: Tree, shard: str = "p10") -> int | None:
    """Return the number of records that a reader sees; None if it sees no state."""
    state = State.read(tree.partition(shard))
    if state is None:
        return None
    with state:
        return sum(1 for _row in state.records())


@asynccontextmanager
async def publishing(partitions: Partitions) -> AsyncIterator[None]:
    task = asyncio.create_task(partitions.publish_snapshots())
    async with asyncio.timeout(60):
        yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("since", "took", "due"),
    [
        (0.0, 0.0, False),
        (SNAPSHOT_SECONDS - 0.1, 0.0, False),
        (SNAPSHOT_SECONDS, 0.0, True),
        (SNAPSHOT_SECONDS, 1.0, True),
        (SNAPSHOT_SECONDS, 2.0, False),  # a slow disk: at most a twentieth of the time
        (40.0, 2.0, True),
        (3600.0, 300.0, False),
    ],
)
def test_is_due(since: float, took: float, due: bool) -> None:
    assert is_due(since, took) is due


async def test_the_first_snapshot_comes_at_once_and_the_next_after_half_a_minute(
    tree: Tree, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.005)
    partitions = await opened()
    await partitions.record([record(0)])
    assert records_seen(tree) is None
    async with publishing(partitions):
        await until(lambda: records_seen(tree) == 1)
        await partitions.record([record(1)])
        await partitions.record([record(0, "p11")])
        await until(lambda: records_seen(tree, "p11") == 1)
        assert records_seen(tree) == 1
        monkeypatch.setattr(module, "SNAPSHOT_SECONDS", 0.0)
        await until(lambda: records_seen(tree) == 2)
    await partitions.record([record(2)])
    assert records_seen(tree) == 2
    await partitions.close()
    assert records_seen(tree) == 3
    for shard in SHARDS:
        assert [path.name for path in tree.partition(shard).iterdir()] == [STATE_NAME]


async def test_a_partition_that_is_released_early_is_published_at_once(
    tree: Tree, opened: Opened
) -> None:
    partitions = await opened()
    await partitions.record([record(0), record(0, "p11")])
    await partitions.release("p11")
    assert (records_seen(tree, "p10"), records_seen(tree, "p11")) == (None, 1)


async def test_a_run_that_changes_nothing_makes_no_working_copy(tree: Tree, opened: Opened) -> None:
    selection = Selection(shards=SHARDS)
    partitions = await opened()
    await partitions.record_selections([selection])
    await partitions.record([record(0), record(0, "p11")])
    await partitions.close()
    before = {path: path.stat() for path in tree.own.rglob(STATE_NAME)}
    partitions = await opened()
    async with publishing(partitions):
        await partitions.record_selections([selection])
        await partitions.delete_records([])
        await partitions.record()
        await partitions.record_rate(0, 1.0)
        assert [working_copies(tree.partition(shard)) for shard in SHARDS] == [[], []]
    await partitions.close()
    assert {path: path.stat() for path in tree.own.rglob(STATE_NAME)}.keys() == before.keys()
    assert all(path.stat().st_ino == found.st_ino for path, found in before.items())


async def test_a_run_that_lost_its_lock_publishes_nothing(
    tree: Tree, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SNAPSHOT_SECONDS", 0.0)
    partitions = await opened()
    await partitions.record([record(0)])
    for path in (tree.partition("p10") / "lock").iterdir():
        path.unlink()  # as a run does that takes the lock over
    with pytest.raises(LockLost):
        await asyncio.wait_for(partitions.publish_snapshots(), 60)
    with pytest.raises(LockLost):
        await partitions.record([record(1)])
    await partitions.close()
    assert records_seen(tree) is None
    assert len(working_copies(tree.partition("p10"))) == 1  # left for the run that took over


async def test_a_failed_snapshot_does_not_end_the_run(
    tree: Tree, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SNAPSHOT_SECONDS", 0.0)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.005)
    tried = []

    def fail(_state: State) -> None:
        tried.append(1)
        raise DiskError("no room")

    partitions = await opened()
    with monkeypatch.context() as patch:
        patch.setattr(State, "publish", fail)
        async with publishing(partitions):
            await partitions.record([record(0)])
            await until(lambda: len(tried) > 2)
    assert records_seen(tree) is None
    await partitions.close()
    assert records_seen(tree) == 1


async def test_an_error_of_the_last_snapshot_is_raised_and_loses_nothing(
    tree: Tree, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    partitions = await opened()
    await partitions.record([record(0)])
    with monkeypatch.context() as patch:
        patch.setattr("cxrsync.storage.state_snapshot.sync_folders", fail_to_sync)
        with pytest.raises(DiskError, match="cannot publish"):
            await partitions.close()
    assert [path.name for path in tree.partition("p10").glob("lock")] == []
    again = await opened()
    count = await again.plan(lambda records: len(list(records["p10"])))
    assert count == 1


def fail_to_sync(_folders: object) -> None:
    raise OSError(5, "Input/output error")
