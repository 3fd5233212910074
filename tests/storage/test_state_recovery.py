"""What a killed, sleeping or older cxrsync leaves of a state: no commit is lost."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from power.model import Disk, Fate
from power.recording import record, why_not
from power.rehearsal import FATES, build
from power.state_writer import BATCHES, row, rows_of
from thorough import IS_THOROUGH

from cxrsync.errors import DiskError, LockLost
from cxrsync.storage.state_db import State
from cxrsync.storage.state_schema import journal_of, open_to_write
from cxrsync.storage.state_snapshot import STATE_NAME

STAMP = "20250102T030405Z"
ASLEEP, AWAKE = "a" * 32, "c" * 32
INSERT = "INSERT INTO file VALUES (?,?,?,?,?,?,?)"


def make(folder: Path, *batches: str, token: str = "d" * 32) -> None:
    """A state in good order that holds these batches."""
    state, _aside = State.open(folder, STAMP, token=token)
    with state:
        for batch in batches:
            state.record(rows_of(batch), at=1.0)


def leave_half_written(path: Path) -> None:
    """What a kill leaves in the middle of a commit: some pages in the file, and a hot journal.

    Version 0.1.0 worked on ``state.sqlite3`` itself, later ones on a copy.
    """
    beside = path.with_name("beside")
    beside.mkdir()
    with closing(open_to_write(path)) as db:
        db.execute("PRAGMA cache_size = 5")
        db.execute("DELETE FROM file WHERE path LIKE '%1%'")
        db.executemany(INSERT, (row(f"files/p10/half-{n:05}")[:7] for n in range(2_000)))
        for each in (path, journal_of(path)):
            shutil.copy(each, beside)
        db.rollback()
    whole = path.read_bytes()
    for each in beside.iterdir():
        each.replace(path.with_name(each.name))
    beside.rmdir()
    assert path.read_bytes() != whole
    assert journal_of(path).stat().st_size > 0


def leave_working_copy(folder: Path, token: str, *batches: str) -> Path:
    """What a kill leaves of a run that has committed these batches, and published none of them."""
    state, _aside = State.open(folder, STAMP, token=token)
    for batch in batches:
        state.record(rows_of(batch), at=1.0)
    state._db.close()
    return folder / f"state.{token}.sqlite3"


def batches_in(state: State | None) -> list[str]:
    """The batches of which there are rows, each whole and in order."""
    assert state is not None
    with state:
        rows = list(state.records())
    assert [each.path for each in rows] == sorted(each.path for each in rows)
    found = sorted({each.path[15:-4] for each in rows})
    assert rows == sorted(each for batch in found for each in rows_of(batch))
    return found


def open_again(folder: Path) -> list[str]:
    """What the next holder of the lock finds, and leaves in good order."""
    state, aside = State.open(folder, STAMP)
    assert aside == []
    found = batches_in(state)
    assert {path.name for path in folder.iterdir()} <= {STATE_NAME}
    return found


# ── killed, and the power cut, after each thing that was asked of the disk ─────────────────────


def nothing(folder: Path) -> set[str]:
    return set()


def a_snapshot(folder: Path) -> set[str]:
    make(folder, "old")
    return {"old"}


def of_version_0_1_0(folder: Path) -> set[str]:
    make(folder, "old")
    leave_half_written(folder / STATE_NAME)
    return {"old"}


def a_working_copy(folder: Path) -> set[str]:
    make(folder, "old")
    leave_half_written(leave_working_copy(folder, ASLEEP, "more"))
    return {"old", "more"}


@pytest.fixture(
    scope="module",
    params=[nothing, a_snapshot, of_version_0_1_0, a_working_copy],
    ids=lambda make: make.__name__,
)
def recorded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[set[str], list[Disk]]:
    """Everything that a run asks of the disk for its state: what was there before, and the disk
    after each operation."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    place = tmp_path_factory.mktemp("recorded").resolve()
    folder = place / "disk" / "p10"
    folder.mkdir(parents=True)
    before = request.param(folder)
    (place / "disk/told").touch()
    operations, made = record(
        [sys.executable, "-m", "power.state_writer", str(folder), str(place / "disk/told")],
        place / "disk",
        place / "log",
        {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    assert open_again(folder) == sorted(before | {f"b{n}" for n in range(BATCHES)})
    return before, [Disk(operations[:count]) for count in range(made, len(operations) + 1)]


@pytest.mark.parametrize(("fate", "throw"), FATES, ids=str)
def test_whatever_ends_a_run(
    recorded: tuple[set[str], list[Disk]], quick: Path, fate: Fate, throw: int
) -> None:
    before, disks = recorded
    assert len(disks) > 100
    # Each moment at which a kill may come (here every second, of one beginning the odd ones and of
    # the next one the even), and a sample of those of a power cut.
    of_kill, of_power_cut = (1, 5) if IS_THOROUGH else (2, 11)
    first, step = FATES.index((fate, throw)), of_power_cut
    if fate is Fate.KEPT:
        first, step = len(before) % of_kill, of_kill
    for number in range(first, len(disks), step):
        here = quick / str(number)
        here.mkdir()
        build(disks[number].after_power_loss(fate, throw), here)
        (here / "p10").mkdir(exist_ok=True)
        told = (here / "told").read_text().splitlines(keepends=True)
        told = [line.strip() for line in told if re.fullmatch(r"b\d\n", line)]
        read = State.read(here / "p10")
        seen = set() if read is None else set(batches_in(read))

        found = set(open_again(here / "p10"))

        assert seen <= found
        # Of a commit that has just ended a power cut may bring the journal back.
        sure = told if fate is Fate.KEPT else told[:-1]
        assert found >= before | set(sure), f"after operation {number}"
        if fate is Fate.KEPT:
            assert found <= before | {*told, f"b{len(told)}"}


@pytest.mark.parametrize("attempt", range(8))
def test_a_real_kill(tmp_path: Path, attempt: int) -> None:
    folder, told = tmp_path / "p10", tmp_path / "told"
    told.touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "power.state_writer", str(folder), str(told)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    wanted = attempt % (BATCHES + 1)
    while len(told.read_text().splitlines()) < wanted and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    committed = told.read_text().split()
    folder.mkdir(exist_ok=True)
    assert set(open_again(folder)) >= set(committed)


# ── what lies there ────────────────────────────────────────────────────────────────────────────


def test_a_tree_of_version_0_1_0_that_was_killed(tmp_path: Path) -> None:
    make(tmp_path, "old")
    leave_half_written(tmp_path / STATE_NAME)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert batches_in(State.read(tmp_path)) == ["old"]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert open_again(tmp_path) == ["old"]


def test_the_latest_of_several(tmp_path: Path) -> None:
    make(tmp_path, "old")
    shutil.copy(tmp_path / STATE_NAME, tmp_path / "saved")
    for token, batches in (("1", ("x",)), ("2", ("x", "y", "z")), ("3", ("x", "y"))):
        kept = leave_working_copy(tmp_path, token * 32, *batches)
        kept.rename(tmp_path / f"kept-{token}")
    for token in "123":
        (tmp_path / f"kept-{token}").rename(tmp_path / f"state.{token * 32}.sqlite3")
    (tmp_path / "saved").unlink()
    assert open_again(tmp_path) == ["old", "x", "y", "z"]


def test_one_that_the_snapshot_has_outlived(tmp_path: Path) -> None:
    """It woke up after another had taken over, and left a copy of what was there before."""
    make(tmp_path, "old")
    late = leave_working_copy(tmp_path, ASLEEP, "late")
    late.rename(tmp_path / "late")
    make(tmp_path, "new", "newer")
    (tmp_path / "late").rename(late)
    assert open_again(tmp_path) == ["new", "newer", "old"]


@pytest.mark.parametrize("with_snapshot", [True, False])
def test_a_damaged_working_copy_is_set_aside(tmp_path: Path, with_snapshot: bool) -> None:
    make(tmp_path, "old")
    working = leave_working_copy(tmp_path, ASLEEP, "more")
    if not with_snapshot:
        (tmp_path / STATE_NAME).unlink()
    damaged = working.read_bytes()[:-100]
    working.write_bytes(damaged)
    state, aside = State.open(tmp_path, STAMP)
    assert [(path.name, path.read_bytes()) for path in aside] == [
        (f"{working.name}.damaged-{STAMP}", damaged)
    ]
    assert batches_in(state) == (["old"] if with_snapshot else [])


def test_a_damaged_snapshot_gives_way_to_a_working_copy(tmp_path: Path) -> None:
    make(tmp_path, "old")
    leave_working_copy(tmp_path, ASLEEP, "more")
    damaged = (tmp_path / STATE_NAME).read_bytes()[:-100]
    (tmp_path / STATE_NAME).write_bytes(damaged)
    state, aside = State.open(tmp_path, STAMP)
    assert [path.read_bytes() for path in aside] == [damaged]
    assert batches_in(state) == ["more", "old"]


def test_a_journal_that_fits_nothing_costs_nothing(tmp_path: Path) -> None:
    make(tmp_path, "old")
    working = leave_working_copy(tmp_path, ASLEEP, "more")
    journal_of(working).write_bytes(b"nonsense" * 1_000)
    assert open_again(tmp_path) == ["more", "old"]


def test_a_commit_that_could_not_be_taken_back_is_left_to_the_next_holder(tmp_path: Path) -> None:
    make(tmp_path, "old")
    state, _aside = State.open(tmp_path, STAMP, token=ASLEEP)
    state.record(rows_of("more"), at=1.0)
    snapshot = (tmp_path / STATE_NAME).read_bytes()
    working = tmp_path / f"state.{ASLEEP}.sqlite3"
    leave_half_written(working)  # as of a disk that failed, and does not let go of the journal
    state.publish()
    state.close()
    assert (tmp_path / STATE_NAME).read_bytes() == snapshot
    assert open_again(tmp_path) == ["more", "old"]


def test_things_under_the_names_of_working_copies(tmp_path: Path) -> None:
    make(tmp_path, "old")
    (tmp_path / "elsewhere").mkdir()
    make(tmp_path / "elsewhere", "other")
    other = tmp_path / "elsewhere" / STATE_NAME
    before = other.read_bytes()
    (tmp_path / f"state.{'1' * 32}.sqlite3").symlink_to(other)
    (tmp_path / f"state.{'2' * 32}.sqlite3").mkdir()
    os.mkfifo(tmp_path / f"state.{'3' * 32}.sqlite3")
    (tmp_path / f"state.{'4' * 32}.new").symlink_to(other)
    (tmp_path / f"state.{'5' * 32}.new").mkdir()
    state, aside = State.open(tmp_path, STAMP)
    assert len(aside) == 3
    assert batches_in(state) == ["old"]
    assert other.read_bytes() == before


def test_the_disk_that_fails_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken for damaged because it could not be read."""
    make(tmp_path, "old")
    leave_working_copy(tmp_path, ASLEEP, "more")
    for name in ("fsync", "replace", "unlink"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(DiskError, match=STATE_NAME):
                State.open(tmp_path, STAMP)
    assert open_again(tmp_path) == ["more", "old"]


def fail(*_words: object, **_options: object) -> None:
    raise OSError(5, "Input/output error")


# ── a former owner that was asleep ─────────────────────────────────────────────────────────────


class Ownership:
    """Whose lock it is."""

    def __init__(self) -> None:
        self.lost = False

    def prove(self) -> None:
        if self.lost:
            raise LockLost("it was taken over")


@pytest.fixture
def asleep(tmp_path: Path) -> Iterator[tuple[State, Ownership]]:
    """An owner that has committed something, has not published it, and has its state open."""
    make(tmp_path, "old")
    mine = Ownership()
    state, _aside = State.open(tmp_path, STAMP, token=ASLEEP, check_lock=mine.prove)
    state.record(rows_of("mine"), at=1.0)
    yield state, mine
    state.close()


def take_over(folder: Path, mine: Ownership) -> None:
    mine.lost = True
    state, aside = State.open(folder, STAMP, token=AWAKE)
    assert aside == []
    with state:
        state.record(rows_of("theirs"), at=2.0)


def test_taken_over_in_the_midst_of_a_commit(
    tmp_path: Path, asleep: tuple[State, Ownership]
) -> None:
    state, mine = asleep
    state._db.execute("PRAGMA cache_size = 5")
    state._db.executemany(INSERT, (row(f"files/p10/half-{n:05}")[:7] for n in range(2_000)))
    take_over(tmp_path, mine)
    after = (tmp_path / STATE_NAME).read_bytes()
    with suppress(sqlite3.OperationalError):
        state._db.commit()  # into a file without a name

    for attempt in (lambda: state.record(rows_of("late"), at=3.0), state.publish):
        with pytest.raises(LockLost):
            attempt()
    state.close()

    assert (tmp_path / STATE_NAME).read_bytes() == after
    assert open_again(tmp_path) == ["mine", "old", "theirs"]


@pytest.mark.parametrize("way", [State.publish, State.close], ids=["publish", "close"])
def test_taken_over_between_the_proof_and_the_rename(
    tmp_path: Path, asleep: tuple[State, Ownership], way: Callable[[State], None]
) -> None:
    state, mine = asleep
    files = state._files
    assert files is not None
    times = []

    def prove_and_sleep() -> None:
        mine.prove()
        if not times:
            times.append(1)
            take_over(tmp_path, mine)

    object.__setattr__(files, "check_lock", prove_and_sleep)
    if way is State.publish:
        with pytest.raises(LockLost):
            way(state)
    else:
        way(state)
    assert open_again(tmp_path) == ["mine", "old", "theirs"]


@pytest.mark.parametrize("moment", range(1, 5))
def test_it_wakes_up_while_the_other_recovers(tmp_path: Path, moment: int) -> None:
    """At any time after the other has the lock: nothing that is committed is taken back by it."""
    make(tmp_path, "old")
    leave_working_copy(tmp_path, ASLEEP, "mine", "more")
    shutil.copy(tmp_path / STATE_NAME, tmp_path / f"state.{ASLEEP}.new")
    proofs = 0

    def prove() -> None:
        nonlocal proofs
        proofs += 1
        if proofs == moment:
            with suppress(FileNotFoundError):
                (tmp_path / f"state.{ASLEEP}.new").replace(tmp_path / STATE_NAME)

    state, _aside = State.open(tmp_path, STAMP, token=AWAKE, check_lock=prove)
    with state:
        state.record(rows_of("theirs"), at=2.0)
        state.publish()
    assert proofs == 4
    assert open_again(tmp_path) == ["mine", "more", "old", "theirs"]


@pytest.mark.parametrize("name", ["new", "sqlite3", "sqlite3-journal"])
def test_one_that_wakes_up_in_its_recovery_takes_nothing_away(tmp_path: Path, name: str) -> None:
    make(tmp_path, "old")
    theirs = tmp_path / f"state.{AWAKE}.{name}"

    def prove() -> None:
        theirs.write_bytes(b"made by whoever took over")
        raise LockLost("it was taken over")

    leave_working_copy(tmp_path, ASLEEP, "more")
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(LockLost):
        State.open(tmp_path, STAMP, check_lock=prove)
    assert {path.name for path in tmp_path.iterdir()} == before | {theirs.name}


def test_taken_over_before_its_first_commit(tmp_path: Path) -> None:
    """What it makes then is later than nothing that anybody else has made."""
    make(tmp_path, "old")
    mine = Ownership()
    state, _aside = State.open(tmp_path, STAMP, token=ASLEEP, check_lock=mine.prove)
    take_over(tmp_path, mine)
    make(tmp_path, "more")
    state.record(rows_of("late"), at=3.0)  # it had proved its lock, and slept
    state.close()
    assert "more" in open_again(tmp_path)


def test_a_working_copy_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "old")
    state, _aside = State.open(tmp_path, STAMP)
    with state:
        for name, way in (("fsync", fail), ("rename", fail)):
            with monkeypatch.context() as patch:
                patch.setattr(os, name, way)
                with pytest.raises(DiskError, match="Input/output"):
                    state.record(rows_of("more"), at=2.0)
            assert not list(tmp_path.glob("state.*.sqlite3"))
        with monkeypatch.context() as patch:
            patch.setattr("cxrsync.storage.state_snapshot.open_to_write", fail)
            with pytest.raises(DiskError, match="Input/output"):
                state.record(rows_of("more"), at=2.0)
        assert not list(tmp_path.glob("state.*.sqlite3"))
        state.record(rows_of("more"), at=2.0)
    assert open_again(tmp_path) == ["more", "old"]


# ── no more than is needed ─────────────────────────────────────────────────────────────────────


def test_a_run_that_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    make(tmp_path, "old")
    found = (tmp_path / STATE_NAME).stat()
    folder = tmp_path.stat().st_mtime_ns
    state, _aside = State.open(tmp_path, STAMP, check_lock=lambda: pytest.fail("nothing to prove"))
    with state:
        assert len(list(state.records())) == len(rows_of("old"))
        state.publish()
    assert tmp_path.stat().st_mtime_ns == folder
    assert (tmp_path / STATE_NAME).stat().st_ino == found.st_ino


def test_a_snapshot_is_never_written_in_place(tmp_path: Path) -> None:
    make(tmp_path, "old")
    os.link(tmp_path / STATE_NAME, tmp_path / "the same")
    before = (tmp_path / "the same").read_bytes()
    state, _aside = State.open(tmp_path, STAMP)
    with state:
        for batch in "xyz":
            state.record(rows_of(batch), at=2.0)
            state.publish()
            assert batches_in(State.read(tmp_path))[-1] == batch
    assert (tmp_path / "the same").read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o660, 0o600])
def test_whoever_could_read_it_still_can(tmp_path: Path, mode: int) -> None:
    make(tmp_path, "old")
    groups = [group for group in os.getgroups() if group != os.getgid()]
    if os.getuid() == 0:
        groups = [12345]
    group = next(iter(groups), os.getgid())
    os.chown(tmp_path / STATE_NAME, -1, group)
    (tmp_path / STATE_NAME).chmod(mode)
    state, _aside = State.open(tmp_path, STAMP)
    with state:
        state.record(rows_of("more"), at=2.0)
        state.publish()
        seen = (tmp_path / STATE_NAME).stat()
        assert (seen.st_mode & 0o777, seen.st_gid) == (mode, group)
    seen = (tmp_path / STATE_NAME).stat()
    assert (seen.st_mode & 0o777, seen.st_gid) == (mode, group)


def test_a_group_that_cannot_be_kept_is_not_replaced_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "old")
    (tmp_path / STATE_NAME).chmod(0o640)
    if os.getuid() != 0:
        pytest.skip("only root can give a file to a group that it is not in")
    os.chown(tmp_path / STATE_NAME, -1, 12345)
    monkeypatch.setattr(os, "chown", fail)
    make(tmp_path, "more")
    assert (tmp_path / STATE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_number_of_rows_is_no_damage(tmp_path: Path) -> None:
    """The change counter tells the later of two copies: it counts every commit."""
    state, _aside = State.open(tmp_path, STAMP, token=ASLEEP)
    editions = []
    with state:
        for batch in "abc":
            state.record(rows_of(batch), at=1.0)
            raw = (tmp_path / f"state.{ASLEEP}.sqlite3").read_bytes()
            editions.append(int.from_bytes(raw[24:28], "big"))
    assert editions == sorted(set(editions))
    with closing(sqlite3.connect(tmp_path / STATE_NAME)) as db:
        assert db.execute("PRAGMA quick_check").fetchone() == ("ok",)
