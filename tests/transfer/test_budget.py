"""What a run may still take, and what must stay free on the disk."""

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.errors import DiskError, ExitCode, StoppedAtLimit
from cxrsync.storage.disk_space import FreeSpace
from cxrsync.transfer import disk_guard
from cxrsync.transfer.budget import SMALL_BYTES, Budget
from cxrsync.transfer.disk_guard import DiskGuard


def test_no_limit() -> None:
    budget = Budget()
    budget.record_received(1 << 60)
    assert budget.take_file()
    assert not budget.is_spent
    assert budget.stop("a", None) is None


def test_files() -> None:
    budget = Budget(max_files=2)
    assert [budget.take_file() for _ in range(4)] == [True, True, False, False]
    assert budget.is_spent
    assert not budget.bytes_are_spent
    assert not Budget(max_files=0).take_file()


@pytest.mark.parametrize(
    ("lacking", "stops"), [(0, False), (SMALL_BYTES, False), (SMALL_BYTES + 1, True), (None, True)]
)
def test_a_small_file_that_has_begun_is_finished(lacking: int | None, stops: bool) -> None:
    budget = Budget(max_bytes=1000)
    budget.record_received(999)
    assert budget.stop("a", lacking) is None
    assert budget.take_file()
    budget.record_received(1)
    assert not budget.take_file()
    assert isinstance(budget.stop("a", lacking), StoppedAtLimit) == stops


# ── the disk ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_guard, "_PIECE_BYTES", 0)


class Disk:
    """A disk of which ``free`` bytes are free."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.measured = 0

    def __call__(self, _folder: Path) -> FreeSpace:
        self.measured += 1
        return FreeSpace(self.free, None)


async def test_without_keep_free_nothing_is_measured(tmp_path: Path) -> None:
    disk = Disk(0)
    guard = DiskGuard(tmp_path, 0, disk)
    await guard.admit("a", 1 << 40)
    with guard.space_for(1 << 40):
        pass
    assert disk.measured == 0


async def test_what_is_in_flight_is_not_free(tmp_path: Path) -> None:
    guard = DiskGuard(tmp_path, 100, Disk(1000))
    await guard.admit("a", 400)
    await guard.admit("b", 500)
    with pytest.raises(DiskError) as caught:
        await guard.admit("c", 1)
    assert caught.value.exit_code is ExitCode.DISK
    assert "--keep-free 100 B" in str(caught.value)
    guard.reserve("c", 0)
    guard.reserve("a", 0)
    await guard.admit("c", 400)


async def test_what_is_written_needs_no_room_any_more(tmp_path: Path) -> None:
    disk = Disk(1000)
    guard = DiskGuard(tmp_path, 100, disk)
    await guard.admit("a", 900)
    for _ in range(9):
        disk.free -= 100
        guard.record_write("a", 100)
        await guard.check()
    assert disk.measured == 1  # in between it is known by what was written
    with pytest.raises(DiskError):
        await guard.admit("b", 1)


async def test_other_programs_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(1000)
    guard = DiskGuard(tmp_path, 100, disk)
    await guard.admit("a", 500)
    disk.free = 599
    await guard.check()  # measured just now
    monkeypatch.setattr(disk_guard, "_MEASURE_SECONDS", 0.0)
    with pytest.raises(DiskError):
        await guard.check()


def test_copies_in_threads_do_not_overcommit(tmp_path: Path) -> None:
    disk = Disk(1000)
    guard = DiskGuard(tmp_path, 100, disk)
    refused: list[DiskError] = []
    both = threading.Barrier(2)

    def copy() -> None:
        try:
            with guard.space_for(600):
                both.wait(5)
        except DiskError as problem:
            refused.append(problem)
            both.wait(5)

    threads = [threading.Thread(target=copy) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1


def test_a_disk_that_does_not_tell(tmp_path: Path) -> None:
    def fail(_folder: Path) -> FreeSpace:
        raise OSError(5, "Input/output error")

    with pytest.raises(DiskError, match="cannot tell"):
        DiskGuard(tmp_path, 1, fail).check_now()


@settings(deadline=None, max_examples=examples(100), derandomize=True)
@given(
    files=st.lists(st.integers(1, 400), max_size=20),
    pieces=st.lists(st.integers(0, 19), max_size=100),
)
def test_the_disk_never_falls_under_what_stays_free(files: list[int], pieces: list[int]) -> None:
    """Files begin as the guard admits them, and write piece by piece, in any order."""
    disk = Disk(1000)
    guard = DiskGuard(Path(), 100, disk)
    left: dict[int, int] = {}
    for name, size in enumerate(files):
        guard.reserve(name, size)
        try:
            guard.check_now()
        except DiskError:
            guard.reserve(name, 0)
            continue
        left[name] = size
        for number in pieces[name::20]:
            if left.get(number):
                count = min(left[number], 50)
                disk.free -= count
                left[number] -= count
                guard.record_write(number, count)
        assert disk.free - sum(left.values()) >= 100
