"""Waiting for a lock: nobody waits in silence, nor for longer than was said, nor deaf."""

import asyncio
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cxrsync.config.job import TransferLimits
from cxrsync.dataset import locking as module
from cxrsync.dataset.locking import Workplace, in_loop, patience_for_shared
from cxrsync.errors import Locked
from cxrsync.events import Event, Notice, Waiting
from cxrsync.storage import leftovers
from cxrsync.storage import lock as locks
from cxrsync.storage import lock_owner as owners
from cxrsync.storage.leftovers import RecoveryCancelled
from cxrsync.storage.lock import Holder, Lock
from cxrsync.storage.tree import Tree
from cxrsync.sync.partitions import Partitions

PATIENCE = 60.0


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.005)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Lock]:
    """Another run that holds the lock."""
    with Lock(tmp_path / "p10", describe="shard p10") as lock:
        yield lock


def place_in(tmp_path: Path) -> Workplace:
    lock = Lock(tmp_path / "p10", describe="shard p10")
    return Workplace(lock, tmp_path / "p10" / "partial")


def is_free(tmp_path: Path) -> bool:
    lock = Lock(tmp_path / "p10")
    if lock.try_acquire() is not None:
        return False
    lock.release()
    return True


async def until(condition: asyncio.Event | threading.Event) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition.is_set():
            await asyncio.sleep(0.001)


async def test_without_patience_nobody_waits(tmp_path: Path, other: Lock) -> None:
    events: list[Event] = []
    with pytest.raises(Locked, match=f"another run holds shard p10: process {os.getpid()}"):
        await place_in(tmp_path).enter(0, events.append)
    assert events == []


async def test_whoever_waits_says_so_at_once_and_again(
    tmp_path: Path, other: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAY_SECONDS", 0.02)
    events: list[Event] = []
    again = asyncio.Event()

    def tell(event: Event) -> None:
        events.append(event)
        if len(events) == 3:
            again.set()

    place = place_in(tmp_path)
    waiting = asyncio.create_task(place.enter(600, tell))
    await until(again)
    other.release()
    async with asyncio.timeout(PATIENCE):
        await waiting
    place.lock.check()
    await place.leave()
    told = [event for event in events if isinstance(event, Waiting)]
    assert told == events
    assert told[0].what.startswith(f"another run holds shard p10: process {os.getpid()} on ")
    assert told[0].waited < 1
    assert 598 < told[0].at_most <= 600
    assert told[0].waited < told[1].waited < told[2].waited
    assert all(abs(each.waited + each.at_most - 600) < 1e-6 for each in told)


async def test_it_is_not_said_each_time_that_it_looks(
    tmp_path: Path, other: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    with pytest.raises(Locked):
        await place_in(tmp_path).enter(0.1, events.append)
    assert len(events) == 1


async def test_the_caller_is_obeyed(tmp_path: Path, other: Lock) -> None:
    """Its time limit is shorter than our patience, and nothing is held afterwards."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await place_in(tmp_path).enter(3_600, lambda _event: None)
    other.release()
    assert is_free(tmp_path)


async def test_a_lock_that_comes_when_nobody_wants_it_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_in(tmp_path)
    begun, go_on = threading.Event(), threading.Event()
    attempt = Lock.try_acquire

    def slow(lock: Lock) -> Holder | None:
        begun.set()
        assert go_on.wait(PATIENCE)
        return attempt(lock)

    monkeypatch.setattr(Lock, "try_acquire", slow)
    entering = asyncio.create_task(place.enter(0, lambda _event: None))
    await until(begun)
    entering.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await entering
    monkeypatch.undo()
    assert is_free(tmp_path)


async def test_a_copy_is_given_up_when_the_caller_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was left stays for the next one."""
    place = place_in(tmp_path)
    place.folder.mkdir(parents=True)
    (place.folder / f"x.{'f' * 32}").write_bytes(b"left")
    begun = threading.Event()

    def adopt(_folder: Path, _lock: Lock, _replaced: object, **options: object) -> None:
        begun.set()
        cancelled = options["cancelled"]
        assert callable(cancelled)
        while not cancelled():
            pass
        raise RecoveryCancelled

    monkeypatch.setattr(module, "recover_partials", adopt)
    entering = asyncio.create_task(place.enter(0, lambda _event: None))
    await until(begun)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert is_free(tmp_path)


async def test_partials_that_cannot_be_opened_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "may_open", lambda _path: False)
    place = place_in(tmp_path)
    place.folder.mkdir(parents=True)
    (place.folder / "x").write_bytes(b"theirs")
    (place.folder / f"y.{'f' * 32}").write_bytes(b"theirs")
    events: list[Event] = []
    await place.enter(0, events.append)
    await place.leave()
    [notice] = events
    assert isinstance(notice, Notice)
    assert notice.text.startswith(f"2 partial downloads in {place.folder} cannot be opened")
    assert len(list(place.folder.iterdir())) == 2


async def test_from_whom_it_was_taken_over(
    tmp_path: Path, other: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "SILENT_SECONDS", -1.0)
    events: list[Event] = []
    place = place_in(tmp_path)
    await place.enter(0, events.append)
    who = f"process {os.getpid()} on {owners.myself().host}"
    assert events == [
        Notice(f"took shard p10 over from {who}, of which nothing was heard"),
    ]
    assert place.lock.replaced_owners() == ()
    await place.leave()


async def test_after_a_reboot_it_is_waited_for_though_nobody_asked(
    tmp_path: Path, other: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And said: what else would keep a person from interrupting it?"""
    monkeypatch.setattr(owners, "_MACHINE_ID", tmp_path / "machine-id")
    owners._MACHINE_ID.write_bytes(b"8f3c2b1a9d8e7f60123456789abcdef0\n")
    monkeypatch.setattr(locks, "_BEATS_OF_ANOTHER_BOOT", 0.1 / locks.HEARTBEAT_SECONDS)
    other.release()
    other._owner = replace(owners.myself(), boot="another boot")
    other.acquire()
    events: list[Event] = []
    place = place_in(tmp_path)
    await place.enter(0, events.append)
    waiting, notice = events
    assert isinstance(waiting, Waiting)
    assert "if this machine was started again since, that is known in 0.1 s" in waiting.what
    assert waiting.at_most <= 0.1
    assert isinstance(notice, Notice)
    await place.leave()


def test_what_all_share_is_waited_for_by_the_longer_of_the_two() -> None:
    assert patience_for_shared(TransferLimits(wait_lock=0.0, give_up_after=60.0)) == 60.0
    assert patience_for_shared(TransferLimits(wait_lock=600.0, give_up_after=60.0)) == 600.0


async def test_a_loss_is_told_in_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.005)
    told = asyncio.Event()
    threads: list[int] = []

    def lost(_problem: object) -> None:
        threads.append(threading.get_ident())
        told.set()

    with Lock(tmp_path / "p10", on_loss=in_loop(lost)):
        shutil.rmtree(tmp_path / "p10" / "lock")
        await until(told)
    assert threads == [threading.get_ident()]


def test_a_loss_that_comes_too_late_is_told_to_nobody() -> None:
    async def make() -> object:
        return in_loop(pytest.fail)

    tell = asyncio.run(make())
    assert callable(tell)
    tell("too late")


async def test_a_silent_owner_of_many_is_silent_for_all_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five minutes for ten shards, not fifty."""
    shards = [f"p1{number}" for number in range(10)]
    tree = Tree(tmp_path)
    others = [Lock(tree.partition(shard)) for shard in shards]
    for other in others:
        other.acquire()
    now = 0.0
    attempt = Lock.try_acquire

    def pass_time(lock: Lock) -> Holder | None:
        nonlocal now
        now += 10.0
        return attempt(lock)

    monkeypatch.setattr(locks, "monotonic", lambda: now)
    monkeypatch.setattr(Lock, "try_acquire", pass_time)
    partitions = Partitions(tree, shards, "now")
    await partitions.open(600, lambda _event: None, pytest.fail)
    assert 300 < now < 500
    await partitions.close()
    for other in others:
        other.release()


async def test_the_patience_is_for_all_of_them(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    events: list[Event] = []
    free = asyncio.Event()
    first, second = (Lock(tree.partition(shard)) for shard in ("p10", "p11"))
    first.acquire()
    second.acquire()

    def tell(event: Event) -> None:
        events.append(event)
        free.set()

    partitions = Partitions(tree, ["p10", "p11"], "now")
    opening = asyncio.create_task(partitions.open(600, tell, pytest.fail))
    await until(free)
    await asyncio.sleep(0.1)
    free.clear()
    first.release()
    await until(free)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    second.release()
    one, other = events
    assert isinstance(one, Waiting)
    assert isinstance(other, Waiting)
    assert one.at_most - other.at_most > 0.09
