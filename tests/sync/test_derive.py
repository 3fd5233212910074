"""Copies are made under back-pressure, and an original goes only after its copy is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cxrsync.errors import DiskError, LockLost
from cxrsync.model import CopyRecord, Entry, Outcome, Result
from cxrsync.plan.copies import CopyOrder
from cxrsync.storage.derived_image import Derivation, Derived, Task
from cxrsync.storage.tree import Tree
from cxrsync.sync.derive import Deriver, Original
from cxrsync.transfer.disk_guard import DiskGuard

A, C = "a" * 64, "c" * 64


class Stage:
    """A deriver between a pool and states that a test plays. ``steps``: what happened, in order."""

    def __init__(self, root: Path, *, drop: bool, workers: int = 2) -> None:
        self.root = root
        self.steps: list[str] = []
        self.outcomes: list[Outcome] = []
        self.tasks: list[tuple[Task, Future[Derived]]] = []
        self.recorded_as_verified = True
        self.lost: Exception | None = None
        copying = SimpleNamespace(
            order=CopyOrder(512, drop=drop),
            pixels=512,
            pool=SimpleNamespace(workers=workers, submit=self._submit),
            lock=SimpleNamespace(check=lambda: None),
            tree=SimpleNamespace(
                root=root / "copies",
                unfinished=root,
                draft=True,
                copy_of=lambda _path, _sha256: "",
                record=lambda copies: self._note("copies", [each.path for each in copies]),
            ),
            thread=None,
            is_image=lambda path: path.endswith(".jpg"),
        )
        partitions = SimpleNamespace(
            check=lambda: None,
            replace_by_copies=self._replace,
            forget_failures=self._forget,
            delete_records=self._delete,
        )
        log = SimpleNamespace(settle=self.outcomes.append, failed=self.outcomes.append)
        self.deriver = Deriver(
            cast("Any", copying), Tree(root), cast("Any", partitions), cast("Any", log),
            DiskGuard(root, 0),
        )  # fmt: skip

    def _submit(self, task: Task) -> Future[Derived]:
        future: Future[Derived] = Future()
        self.tasks.append((task, future))
        return future

    def _note(self, what: str, paths: list[str]) -> None:
        there = all((self.root / path).exists() for path in paths)
        self.steps.append(f"{what} {len(paths)}{'' if there else ', original gone'}")

    async def _replace(self, copies: dict[Entry, CopyRecord]) -> set[str]:
        if self.lost is not None:
            raise self.lost
        paths = [entry.path for entry in copies]
        self._note("state", paths)
        return set(paths) if self.recorded_as_verified else set()

    async def _forget(self, paths: Any) -> None:
        self._note("failures forgotten", list(paths))

    async def _delete(self, paths: list[str]) -> None:
        self._note("record deleted", paths)

    def original(self, name: str) -> Original:
        (self.root / name).write_bytes(b"x" * 7)
        return Original(Entry(name, A), 7, Outcome(name, Result.FETCHED, 7, source="s"))

    async def finish(self, result: Derivation = Derivation.DERIVED, *, error: int = 0) -> None:
        """End the oldest task that is open; wait for one, which comes through threads."""
        await until(lambda: not all(future.done() for _task, future in self.tasks))
        task, future = next(each for each in self.tasks if not each[1].done())
        future.set_result(Derived(task.path, task.sha256, result, C, 3, 1, error))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def make(stage: Stage, names: list[str], *results: Derivation, error: int = 0) -> None:
    """Pass images through the deriver; the workers end with these results."""
    async with asyncio.TaskGroup() as group:
        running = group.create_task(stage.deriver.run())
        for name in names:
            await stage.deriver.submit(stage.original(name))
        for result in results:
            await stage.finish(result, error=error)
        # A deriver without work does not wait for its end: it commits. (Or it fails, and so do we.)
        await until(lambda: len(stage.outcomes) == len(names))
        await stage.deriver.close()
        await running


async def test_an_original_goes_last(tmp_path: Path) -> None:
    stage = Stage(tmp_path, drop=True)
    await make(stage, ["1.jpg"], Derivation.DERIVED)
    assert stage.steps == ["copies 1", "state 1"]
    assert not (tmp_path / "1.jpg").exists()
    assert stage.outcomes == [Outcome("1.jpg", Result.DERIVED, 7, source="s", copy_size=3)]


async def test_beside_it_stays(tmp_path: Path) -> None:
    stage = Stage(tmp_path, drop=False)
    await make(stage, ["1.jpg"], Derivation.DERIVED)
    assert stage.steps == ["copies 1", "failures forgotten 1"]
    assert (tmp_path / "1.jpg").exists()
    assert [each.result for each in stage.outcomes] == [Result.DERIVED]


async def test_an_original_without_a_record_stays(tmp_path: Path) -> None:
    stage = Stage(tmp_path, drop=True)
    stage.recorded_as_verified = False
    await make(stage, ["1.jpg"], Derivation.DERIVED)
    assert (tmp_path / "1.jpg").exists()


async def test_a_lost_lock_removes_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, drop=True)
    stage.lost = LockLost("taken over")
    with pytest.raises(ExceptionGroup):
        await make(stage, ["1.jpg"], Derivation.DERIVED)
    assert (tmp_path / "1.jpg").exists()
    assert stage.outcomes == []


@pytest.mark.parametrize(
    ("result", "reason", "steps"),
    [
        (Derivation.NOT_DECODED, "no decoder opens it", []),
        (Derivation.UNREADABLE, "it cannot be read", []),
        # It rotted since it was verified: the next run hashes it, and fetches it again.
        (Derivation.WRONG, "does not have the published digest", ["record deleted 1"]),
    ],
)
async def test_an_original_without_a_copy_stays(
    tmp_path: Path, result: Derivation, reason: str, steps: list[str]
) -> None:
    stage = Stage(tmp_path, drop=True)
    await make(stage, ["1.jpg"], result)
    assert (tmp_path / "1.jpg").exists()
    [outcome] = stage.outcomes
    assert outcome.result is Result.FAILED
    assert reason in outcome.reason
    assert stage.steps == steps


@pytest.mark.parametrize("error", [28, 5, 13])
async def test_a_copy_that_cannot_be_written_ends_the_run(tmp_path: Path, error: int) -> None:
    stage = Stage(tmp_path, drop=True)
    with pytest.raises(ExceptionGroup) as ended:
        await make(stage, ["1.jpg"], Derivation.NOT_WRITTEN, error=error)
    assert ended.group_contains(DiskError, depth=2)
    assert (tmp_path / "1.jpg").exists()


async def test_who_brings_more_than_the_workers_can_take_has_to_wait(tmp_path: Path) -> None:
    stage = Stage(tmp_path, drop=True, workers=2)
    brought: list[str] = []

    async def bring() -> None:
        for number in range(9):
            await stage.deriver.submit(stage.original(f"{number}.jpg"))
            brought.append(f"{number}.jpg")

    async with asyncio.TaskGroup() as group:
        running = group.create_task(stage.deriver.run())
        bringing = group.create_task(bring())
        await until(lambda: len(stage.tasks) >= 2 and len(brought) >= 4)
        await asyncio.sleep(0.02)  # if more could be brought, it would be
        at_work, taken = len(stage.tasks), len(brought)
        for _ in range(9):
            await stage.finish()
        await bringing
        await stage.deriver.close()
        await running
    # Two are with workers, two wait, and one is in the hands of who brings them.
    assert (at_work, taken) == (2, 4)
    assert len(stage.outcomes) == 9
    assert not list(tmp_path.glob("*.jpg"))


async def test_a_run_that_ends_early_finishes_what_is_begun(tmp_path: Path) -> None:
    stage = Stage(tmp_path, drop=True, workers=1)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(stage.deriver.run())
        for number in range(2):
            await stage.deriver.submit(stage.original(f"{number}.jpg"))
        await until(lambda: len(stage.tasks) == 1)
        stage.deriver.abandon()
        await stage.deriver.submit(stage.original("2.jpg"))
        await stage.finish()
        await stage.deriver.close()
        await running
    assert [each.path for each in stage.outcomes] == ["0.jpg"]
    assert sorted(path.name for path in tmp_path.glob("*.jpg")) == ["1.jpg", "2.jpg"]
