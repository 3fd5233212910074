"""Waiting for a lock: it is reported, ends at its timeout, and can be cancelled."""

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
from cxrsync.dataset.locking import LockedFolder, call_in_loop, shared_lock_timeout
from cxrsync.errors import Locked
from cxrsync.events import Event, Notice, Waiting
from cxrsync.storage import leftovers
from cxrsync.storage import lock as locks
from cxrsync.storage import lock_owner as owners
from cxrsync.storage.leftovers import RecoveryCancelled
from cxrsync.storage.lock import Holder, Lock
from cxrsync.storage.tree import Tree
from cxrsync.sync.partitions import Partitions

TIMEOUT_SECONDS = 60.0


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.005)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Lock]:
    """Another run that holds the lock."""
    with Lock(tmp_path / "p10", describe="shard p10") as lock:
        yield lock


def folder_in(tmp_path: Path) -> LockedFolder:
    lock = Lock(tmp_path / "p10", describe="shard p10")
    return LockedFolder(lock, tmp_path / "p10" / "partial")


def is_free(tmp_path: Path) -> bool:
    lock = Lock(tmp_path / "p10")
    if lock.try_acquire() is not None:
        return False
    lock.release()
    return True


async def until(condition: asyncio.Event | threading.Event) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not condition.is_set():
            await asyncio.sleep(0.001)


async def test_a_timeout_of_zero_raises_at_once(tmp_path: Path, other: Lock) -> None:
    events: list[Event] = []
    with pytest.raises(Locked, match=f"another run holds shard p10: process {os.getpid()}"):
        await folder_in(tmp_path).acquire(0, events.append)
    assert events == []


async def test_waiting_is_reported_at_once_and_repeatedly(
    tmp_path: Path, other: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NOTICE_SECONDS", 0.02)
    events: list[Event] = []
    again = asyncio.Event()

    def listen(event: Event) -> None:
        events.append(event)
        if len(events) == 3:
            again.set()

    locked_folder = folder_in(tmp_path)
    waiting = asyncio.create_task(locked_folder.acquire(600, listen))
    await until(again)
    other.release()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await waiting
    locked_folder.lock.check()
    await locked_folder.release()
    waits = [event for event in events if isinstance(event, Waiting)]
    assert waits == events
    assert waits[0].what.startswith(f"another run holds shard p10: process {os.getpid()} on ")
    assert waits[0].waited < 1
    assert 598 < waits[0].at_most <= 600
    assert waits[0].waited < waits[1].waited < waits[2].waited
    assert all(abs(each.waited + each.at_most - 600) < 1e-6 for each in waits)


async def test_waiting_is_not_reported_at_each_poll(tmp_path: Path, other: Lock) -> None:
    events: list[Event] = []
    with pytest.raises(Locked):
        await folder_in(tmp_path).acquire(1.0, events.append)
    assert len(events) == 1


async def test_the_callers_timeout_ends_the_wait(tmp_path: Path, other: Lock) -> None:
    """It is shorter than the lock's timeout; the lock is not held afterwards."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await folder_in(tmp_path).acquire(3_600, lambda _event: None)
    other.release()
    assert is_free(tmp_path)


async def test_a_lock_acquired_after_the_cancellation_is_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked_folder = folder_in(tmp_path)
    begun, go_on = threading.Event(), threading.Event()
    try_acquire = Lock.try_acquire

    def slow(lock: Lock) -> Holder | None:
        begun.set()
        assert go_on.wait(TIMEOUT_SECONDS)
        return try_acquire(lock)

    monkeypatch.setattr(Lock, "try_acquire", slow)
    acquiring = asyncio.create_task(locked_folder.acquire(0, lambda _event: None))
    await until(begun)
    acquiring.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await acquiring
    monkeypatch.undo()
    assert is_free(tmp_path)


async def test_a_cancellation_ends_the_adoption_of_partials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The partials that another run left stay for the next run."""
    locked_folder = folder_in(tmp_path)
    locked_folder.folder.mkdir(parents=True)
    (locked_folder.folder / f"x.{'f' * 32}").write_bytes(b"left")
    begun = threading.Event()

    def adopt(_folder: Path, _lock: Lock, _replaced: object, **options: object) -> None:
        begun.set()
        cancelled = options["cancelled"]
        assert callable(cancelled)
        while not cancelled():
            pass
        raise RecoveryCancelled

    monkeypatch.setattr(module, "recover_partials", adopt)
    acquiring = asyncio.create_task(locked_folder.acquire(0, lambda _event: None))
    await until(begun)
    acquiring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await acquiring
    assert is_free(tmp_path)


async def test_partials_that_cannot_be_opened_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "may_open", lambda _path: False)
    locked_folder = folder_in(tmp_path)
    locked_folder.folder.mkdir(parents=True)
    (locked_folder.folder / "x").write_bytes(b"theirs")
    (locked_folder.folder / f"y.{'f' * 32}").write_bytes(b"theirs")
    events: list[Event] = []
    await locked_folder.acquire(0, events.append)
    await locked_folder.release()
    [notice] = events
    assert isinstance(notice, Notice)
    assert notice.text.startswith(f"2 partial downloads in {locked_folder.folder} cannot be opened")
    assert len(list(locked_folder.folder.iterdir())) == 2


async def test_the_notice_names_the_replaced_owner(
    tmp_path: Path, other: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "SILENT_SECONDS", -1.0)
    events: list[Event] = []
    locked_folder = folder_in(tmp_path)
    await locked_folder.acquire(0, events.append)
    who = f"process {os.getpid()} on {owners.myself().host}"
    assert events == [
        Notice(f"took shard p10 over from {who}, which no longer responds"),
    ]
    assert locked_folder.lock.replaced_owners() == ()
    await locked_folder.release()


async def test_an_owner_of_an_earlier_boot_is_waited_for_without_a_timeout(
    tmp_path: Path, other: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait is reported: otherwise the user would think that the run hangs."""
    monkeypatch.setattr(owners, "_MACHINE_ID", tmp_path / "machine-id")
    owners._MACHINE_ID.write_bytes(b"8f3c2b1a9d8e7f60123456789abcdef0\n")
    monkeypatch.setattr(locks, "_BEATS_OF_ANOTHER_BOOT", 0.1 / locks.HEARTBEAT_SECONDS)
    other.release()
    other._owner = replace(owners.myself(), boot="another boot")
    other.acquire()
    events: list[Event] = []
    locked_folder = folder_in(tmp_path)
    await locked_folder.acquire(0, events.append)
    waiting, notice = events
    assert isinstance(waiting, Waiting)
    assert "if this machine has restarted since, that will be known in 0.1 s" in waiting.what
    assert waiting.at_most <= 0.1
    assert isinstance(notice, Notice)
    await locked_folder.release()


def test_the_shared_timeout_is_the_longer_of_two() -> None:
    assert shared_lock_timeout(TransferLimits(wait_lock=0.0, give_up_after=60.0)) == 60.0
    assert shared_lock_timeout(TransferLimits(wait_lock=600.0, give_up_after=60.0)) == 600.0


async def test_a_lost_lock_is_reported_in_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.005)
    waits = asyncio.Event()
    threads: list[int] = []

    def lost(_problem: object) -> None:
        threads.append(threading.get_ident())
        waits.set()

    with Lock(tmp_path / "p10", on_loss=call_in_loop(lost)):
        shutil.rmtree(tmp_path / "p10" / "lock")
        await until(waits)
    assert threads == [threading.get_ident()]


def test_a_call_after_the_loop_is_closed_does_nothing() -> None:
    async def make() -> object:
        return call_in_loop(pytest.fail)

    tell = asyncio.run(make())
    assert callable(tell)
    tell("too late")


async def test_the_silence_of_an_owner_counts_for_all_its_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five minutes for ten shards, not fifty."""
    shards = [f"p1{number}" for number in range(10)]
    tree = Tree(tmp_path)
    tree.create()
    others = [Lock(tree.partition(shard)) for shard in shards]
    for other in others:
        other.acquire()
    now = 0.0
    try_acquire = Lock.try_acquire

    def pass_time(lock: Lock) -> Holder | None:
        nonlocal now
        now += 10.0
        return try_acquire(lock)

    monkeypatch.setattr(locks, "monotonic", lambda: now)
    monkeypatch.setattr(Lock, "try_acquire", pass_time)
    partitions = Partitions(tree, shards, "now")
    await partitions.open(600, lambda _event: None, pytest.fail)
    assert 300 < now < 500
    await partitions.close()
    for other in others:
        other.release()


async def test_the_timeout_is_for_all_partitions_together(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.create()
    events: list[Event] = []
    free = asyncio.Event()
    first, second = (Lock(tree.partition(shard)) for shard in ("p10", "p11"))
    first.acquire()
    second.acquire()

    def listen(event: Event) -> None:
        events.append(event)
        free.set()

    partitions = Partitions(tree, ["p10", "p11"], "now")
    opening = asyncio.create_task(partitions.open(600, listen, pytest.fail))
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
