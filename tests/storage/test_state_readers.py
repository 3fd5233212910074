"""Readers beside a writer: each sees one whole state, and none is ever turned away."""

import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxrsync.errors import DiskError
from cxrsync.model import FileRecord
from cxrsync.storage.state_db import State
from cxrsync.storage.state_snapshot import STATE_NAME

STAMP = "20250102T030405Z"
MANY = 38_000


def row(number: int, size: int = 1) -> FileRecord:
    path = f"files/p10/p10{number:06}/s5{number:06}/{number:032x}.jpg"
    return FileRecord(path, "a" * 64, size, 1_721_736_000_000_000_001, "https://x", '"tag"', 1.5e9)


def opened(folder: Path) -> State:
    state, aside = State.open(folder, STAMP)
    assert aside == []
    return state


def read(folder: Path) -> State:
    state = State.read(folder)
    assert state is not None
    return state


def rows_in(folder: Path) -> list[FileRecord]:
    with read(folder) as state:
        return list(state.records())


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard's worth of rows, with room for as many between them."""
    folder = tmp_path_factory.mktemp("large")
    with opened(folder) as state:
        state.record((row(2 * number) for number in range(MANY)), at=1.0)
    return folder


def test_a_reader_goes_on_while_somebody_commits(large: Path) -> None:
    before = rows_in(large)
    with opened(large) as writer, read(large) as reader:
        rows = reader.records()
        seen = [next(rows)]
        writer.record((row(2 * number + 1) for number in range(0, MANY, 3)), at=2.0)
        seen += [next(rows) for _ in range(10_000)]
        writer.publish()
        writer.forget(each.path for each in before[::2])
        writer.publish()
        seen += rows
    assert seen == before
    assert len(rows_in(large)) == MANY // 2 + len(range(0, MANY, 3))


def test_a_reader_that_comes_in_the_midst_of_a_commit(large: Path) -> None:
    """Pages that are not committed yet have reached the writer's file already."""
    before = rows_in(large)
    with opened(large) as writer:
        writer.record_rate(1, 1.0, at=2.0)
        writer._db.execute("PRAGMA cache_size = 500")
        writer._db.execute("UPDATE file SET size = 7")
        assert rows_in(large) == before
        writer._db.rollback()


def test_reading_writes_nothing_and_is_no_writing(tmp_path: Path) -> None:
    with opened(tmp_path) as writer:
        writer.record([row(1)], at=1.0)
        writer.publish()
        before = sorted(tmp_path.iterdir())
        with read(tmp_path) as reader:
            assert list(reader.records()) == [row(1)]
            with pytest.raises(DiskError, match="cannot write"):
                reader.record([row(2)], at=1.0)
        assert sorted(tmp_path.iterdir()) == before


def test_many_readers_beside_many_snapshots(quick: Path) -> None:
    """Whatever is read is one commit's rows: as many as its number says, all of its size."""
    problems: list[str] = []
    over = threading.Event()
    reads = number = 0

    def write() -> None:
        nonlocal number
        try:
            with opened(quick) as state:
                while reads < 40 or number < 40:
                    number += 1
                    state.record([row(each, number) for each in range(50 + number)], at=1.0)
                    state.publish()
        finally:
            over.set()

    writer = threading.Thread(target=write)
    writer.start()
    last = 0
    while not over.is_set():
        state = State.read(quick)
        if state is None:
            if last:
                problems.append("no state any more")
            continue
        with state:
            rows = list(state.records())
        reads += 1
        sizes = {each.size for each in rows}
        if len(sizes) != 1 or len(rows) != 50 + min(sizes) or min(sizes) < last:
            problems.append(f"{len(rows)} rows of {sizes}, {last} before")
        last = max(sizes)
    writer.join()
    assert problems == []
    assert rows_in(quick)[0].size == number


def test_some_seconds_of_the_soak(quick: Path) -> None:
    """`status`, `verify` and rows beside a writer that is killed now and then."""
    script = Path(__file__).parents[2] / "scripts/readers"
    done = subprocess.run(
        [sys.executable, str(script), "--minutes", "0.02", "--files", "100", "--seed", "5"],
        env={**os.environ, "TMPDIR": str(quick)},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = {
        what: int(times.replace(",", ""))
        for line in done.stdout.splitlines()[1:-1]
        for times, what in [line.strip().split("  ", 1)]
    }
    assert figures["commits"] > 0
    assert figures["reads by rows"] > 0
    assert figures["reads by status"] > 0


def test_a_snapshot_says_how_old_it_is(tmp_path: Path) -> None:
    began = time.time() - 1  # file systems round
    with opened(tmp_path) as writer:
        assert writer.snapshot_at is None
        writer.record([row(1)], at=1.0)
        assert State.read(tmp_path) is None
        writer.publish()
        with read(tmp_path) as reader:
            assert reader.behind
            assert reader.snapshot_at is not None
            assert began <= reader.snapshot_at <= time.time() + 1
    with read(tmp_path) as reader:
        assert not reader.behind


class LettingGo(sqlite3.Connection):
    """A file whose server has let go of it, as NFS does of what another machine has replaced."""

    def execute(self, *_words: object) -> sqlite3.Cursor:
        raise sqlite3.OperationalError("disk I/O error")


@pytest.mark.parametrize("at_end", [False, True])
def test_a_snapshot_that_a_file_server_let_go_of(large: Path, at_end: bool) -> None:
    expected = rows_in(large)
    with read(large) as reader:
        rows = reader.records()
        seen = [next(rows)]
        if at_end:
            seen += [next(rows) for _ in expected[1:]]
        reader._db.close()
        reader._db = sqlite3.connect(":memory:", factory=LettingGo)
        seen += rows
    assert seen == expected


def test_a_disk_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as state:
        state.record([row(1)], at=1.0)
    with read(tmp_path) as reader:
        reader._db.close()
        reader._db = sqlite3.connect(":memory:", factory=LettingGo)
        monkeypatch.setattr("cxrsync.storage.state_db._open_snapshot", broken)
        with pytest.raises(DiskError, match=STATE_NAME):
            list(reader.records())


def broken(_path: Path) -> sqlite3.Connection:
    raise sqlite3.OperationalError("disk I/O error")


# ── whoever may not write ──────────────────────────────────────────────────────────────────────


@pytest.fixture
def of_another_user() -> Iterator[Path]:
    """A partition that root owns and lets everybody read; from here on we are nobody."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    with tempfile.TemporaryDirectory(prefix="cxrsync-shared-") as folder:
        place = Path(folder)
        with opened(place) as state:
            state.record([row(number) for number in range(3)], at=1.0)
        place.chmod(0o755)
        (place / STATE_NAME).chmod(0o644)
        # A run of the owner's is at work.
        with opened(place) as state:
            state.record([row(3)], at=1.0)
            os.seteuid(65534)
            try:
                yield place
            finally:
                os.seteuid(0)


def test_another_user_may_read(of_another_user: Path) -> None:
    with read(of_another_user) as reader:
        assert [each.path for each in reader.records()] == [row(number).path for number in range(3)]
        assert reader.behind
    with pytest.raises(DiskError):
        State.open(of_another_user, STAMP)[0].record([row(9)], at=1.0)


def test_another_user_may_read_what_version_0_1_0_left(of_another_user: Path) -> None:
    """It is rolled back in a copy elsewhere."""
    os.seteuid(0)
    (of_another_user / f"{STATE_NAME}-journal").write_bytes(b"nothing to roll back")
    (of_another_user / f"{STATE_NAME}-journal").chmod(0o644)
    os.seteuid(65534)
    assert len(rows_in(of_another_user)) == 3


def test_a_mount_that_is_read_only(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        state.record([row(1)], at=1.0)
    (tmp_path / f"{STATE_NAME}-journal").write_bytes(b"nothing to roll back")
    mount = ["mount", "--bind", str(tmp_path), str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system is not permitted here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(tmp_path)], check=True)
        assert rows_in(tmp_path) == [row(1)]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
