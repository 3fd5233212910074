"""Hashing due files under the partition's lock: what is recorded, and what is left as it was."""

import asyncio
import errno
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from cxrsync.events import Checked, Event
from cxrsync.model import Entry, FileRecord
from cxrsync.storage import parallel_hash
from cxrsync.storage.state_db import State
from cxrsync.storage.tree import Tree
from cxrsync.sync import scrub as module
from cxrsync.sync.partitions import Partitions
from cxrsync.sync.scrub import DueFile, Scrubber

LONG_AGO = 1.5e9
NOW = 1.8e9
BYTES = b"an image"
DIGEST = hashlib.sha256(BYTES).hexdigest()
PATHS = [f"files/p10/p10000001/s50000001/{number}.jpg" for number in range(4)]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path / "mirror")
    tree.create()
    with State.open(tree.partition("p10"), "test")[0] as state:
        for path in PATHS:
            tree.make_parent(path)
            Path(tree.final(path)).write_bytes(BYTES)
            found = os.stat(tree.final(path))
            size, mtime_ns = found.st_size, found.st_mtime_ns
            row = FileRecord(path, DIGEST, size, mtime_ns, "https://x", '"tag"', LONG_AGO)
            state.record([row], at=LONG_AGO)
    return tree


@pytest.fixture
async def partitions(tree: Tree) -> AsyncIterator[Partitions]:
    partitions = Partitions(tree, ["p10"], "now")
    await partitions.open(0.0, lambda _event: None, pytest.fail)
    yield partitions
    await partitions.close()


class Scrubbed:
    """A scrub of all four files, and what it said."""

    def __init__(self, tree: Tree) -> None:
        self.events: list[Event] = []
        self.proven: dict[int, float] = {}
        self.scrubber = Scrubber(tree, self.events.append, lambda: NOW, self.proven.__setitem__)

    async def run(self, partitions: Partitions, digest: str = DIGEST) -> None:
        due = [DueFile(number, Entry(path, digest)) for number, path in enumerate(PATHS)]
        await self.scrubber.scrub(partitions, due)

    @property
    def findings(self) -> dict[str, str]:
        return {each.path: each.finding.value for each in self.events if isinstance(each, Checked)}


async def times(partitions: Partitions) -> dict[str, float]:
    return await partitions.plan(
        lambda records: {row.path: row.verified_at for rows in records.values() for row in rows}
    )


async def test_proofs_are_recorded(tree: Tree, partitions: Partitions) -> None:
    scrubbed = Scrubbed(tree)
    await scrubbed.run(partitions)
    assert await times(partitions) == dict.fromkeys(PATHS, NOW)
    assert scrubbed.proven == dict.fromkeys(range(4), NOW)
    assert scrubbed.scrubber.result.good.files == 4
    assert scrubbed.scrubber.result.good.bytes == 4 * len(BYTES)


async def test_wrong_missing_and_unreadable_files_keep_their_records(
    tree: Tree, partitions: Partitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.sha256_file

    def hash_file(path: str) -> str:
        if path.endswith("2.jpg"):
            raise OSError(errno.EIO, "Input/output error", path)
        return real(path)

    monkeypatch.setattr(module, "sha256_file", hash_file)
    Path(tree.final(PATHS[0])).write_bytes(b"rotten")
    Path(tree.final(PATHS[1])).unlink()
    scrubbed = Scrubbed(tree)
    await scrubbed.run(partitions)
    assert [scrubbed.findings[path] for path in PATHS] == ["bad", "missing", "unreadable", "good"]
    assert await times(partitions) == {**dict.fromkeys(PATHS, LONG_AGO), PATHS[3]: NOW}
    result = scrubbed.scrubber.result
    assert (result.bad, result.missing, result.unreadable) == (PATHS[:1], PATHS[1:2], PATHS[2:3])


async def test_a_file_that_is_written_to_meanwhile_stays_due(
    tree: Tree, partitions: Partitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.sha256_file

    def hash_file(path: str) -> str:
        digest = real(path)
        os.utime(path, (1, 1))
        return digest

    monkeypatch.setattr(module, "sha256_file", hash_file)
    scrubbed = Scrubbed(tree)
    await scrubbed.run(partitions)
    assert scrubbed.proven == {}
    assert await times(partitions) == dict.fromkeys(PATHS, LONG_AGO)


async def test_what_another_run_has_changed_meanwhile_is_left_out(
    tree: Tree, partitions: Partitions
) -> None:
    await partitions.delete_records(PATHS[:1])
    scrubbed = Scrubbed(tree)
    await scrubbed.run(partitions)
    assert sorted(scrubbed.findings) == PATHS[1:]
    await Scrubbed(tree).run(partitions, digest="f" * 64)  # of a newer manifest
    assert set((await times(partitions)).values()) == {NOW}


async def test_what_was_proven_before_a_cancellation_is_recorded(
    tree: Tree, partitions: Partitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel_hash, "_BATCH_SECONDS", 0.0)
    reached, go_on = threading.Event(), threading.Event()
    real: Callable[[str], str] = module.sha256_file

    def hash_file(path: str) -> str:
        if path.endswith("2.jpg"):
            reached.set()
            go_on.wait(60)
        return real(path)

    monkeypatch.setattr(module, "sha256_file", hash_file)
    scrubbed = Scrubbed(tree)
    task = asyncio.create_task(scrubbed.run(partitions))
    await asyncio.to_thread(reached.wait, 60)
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    renewed = {path for path, at in (await times(partitions)).items() if at == NOW}
    assert renewed == set(PATHS[:2])
