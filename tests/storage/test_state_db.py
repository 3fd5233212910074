"""The state is evidence: it comes back as it went, and damage to it costs no run."""

import os
import random
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cxrsync.config.selection import Selection
from cxrsync.errors import DiskError, NewerFormat
from cxrsync.model import CopyRecord, DigestMismatch, FileRecord, Kind, Outcome, Result
from cxrsync.storage.state_db import State
from cxrsync.storage.state_schema import FORMAT, header_of
from cxrsync.storage.state_snapshot import STATE_NAME

STAMP = "20250102T030405Z"


def row(path: str, size: int = 1) -> FileRecord:
    return FileRecord(path, "a" * 64, size, 1_721_736_000_000_000_001, "https://x", '"tag"', 1.5e9)


ROWS = [row(f"files/p10/{number:05}.jpg", number) for number in range(300)]


def opened(folder: Path) -> State:
    """The state, which must be in order."""
    state, aside = State.open(folder, STAMP)
    assert aside == []
    return state


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A partition whose state holds ROWS."""
    folder = tmp_path / "p10"
    with opened(folder) as state:
        state.record(ROWS, at=1.0)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, byte for byte."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_works(state: State) -> None:
    """Whatever became of it, a run can go on with it."""
    with state:
        known = {found.path for found in state.records()}
        fresh = row("files/p10/fresh.jpg")
        state.record([fresh], at=2.0)
        assert fresh in list(state.records())
        assert "files/p10/fresh.jpg" not in known
        state.forget(["files/p10/fresh.jpg"])
        state.record_selection(Selection(), at=2.0)
        assert Selection() in state.selections()
        state.mismatches()
        state.record_rate(1, 1.0, at=2.0)


def derived(record: FileRecord, size: int = 9) -> FileRecord:
    return record._replace(copy=CopyRecord(512, "c" * 64, size))


def format_of(folder: Path) -> int:
    head = header_of((folder / STATE_NAME).read_bytes())
    assert head is not None
    return head.format


# ── what is recorded comes back ────────────────────────────────────────────────────────────────


def test_rows_come_back_as_they_went(folder: Path) -> None:
    with opened(folder) as state:
        assert list(state.records()) == ROWS
    read = State.read(folder)
    assert read is not None
    with read:
        assert list(read.records()) == ROWS


def test_the_state_is_for_its_owner_alone(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        with opened(tmp_path / "deep" / "p10") as state:
            state.record(ROWS[:1], at=1.0)
    finally:
        os.umask(umask)
    assert (tmp_path / "deep" / "p10" / STATE_NAME).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "deep").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["100%", "a?b", "a#b", "ü ß", "a'b"])
def test_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    with opened(tmp_path / name) as state:
        state.record(ROWS[:1], at=1.0)
    assert (tmp_path / name / STATE_NAME).is_file()
    read = State.read(tmp_path / name)
    assert read is not None
    with read:
        assert list(read.records()) == ROWS[:1]


def test_many_rows_come_in_byte_order(tmp_path: Path) -> None:
    """The order of the manifest (LC_ALL=C sort), over page boundaries and beyond ASCII."""
    odd = ["a b", "a-b", "a/b", "a0", "A", "ä", "z", "é/x", "中文", "\U0001f600", "\uffff", "~"]
    # Three paths that begin alike, so that a page ends before one that continues its last.
    paths = [f"{stem}{n:03}{end}" for stem in odd for n in range(350) for end in ("", " ", "!")]
    random.Random(5).shuffle(paths)
    with opened(tmp_path) as state:
        state.record(map(row, paths), at=1.0)
        assert [found.path for found in state.records()] == sorted(paths, key=str.encode)
    assert len(paths) > 10_000


def test_writing_goes_on_between_two_pages(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        state.record([row(f"{number:06}") for number in range(9_000)], at=1.0)
        rows = state.records()
        seen = [next(rows).path]
        state.record([row("000000x"), row("999999")], at=2.0)
        state.forget(["008000"])
        seen += [found.path for found in rows]
    assert seen == sorted(set(seen))
    assert "999999" in seen
    assert "008000" not in seen
    assert len(seen) == 9_000


def test_a_row_replaces_the_earlier_one(folder: Path) -> None:
    with opened(folder) as state:
        newer = ROWS[0]._replace(size=77, source="", validator="")
        state.record([newer], at=2.0)
        assert list(state.records()) == [newer, *ROWS[1:]]


@pytest.mark.parametrize("reader", [True, False])
def test_files_that_copies_replaced(folder: Path, reader: bool) -> None:
    """They come back among the others, in order, and an original that is there again replaces
    them. Version 0.3 refuses a state with any; one without stays as it reads it."""
    assert format_of(folder) == 1
    replaced = [derived(row) for row in ROWS[::3]]
    expected = [derived(row) if number % 3 == 0 else row for number, row in enumerate(ROWS)]
    with opened(folder) as state:
        state.record(failures=[Outcome(ROWS[0].path, Result.FAILED, reason="lost")], at=1.0)
        state.record(replaced, at=2.0)
        assert list(state.failures()) == []
        assert list(state.records()) == expected
    assert format_of(folder) == 2
    state = State.read(folder) if reader else opened(folder)
    assert state is not None
    with state:
        assert list(state.records()) == expected
    with opened(folder) as state:
        state.record([ROWS[0]], at=3.0)
        state.forget([ROWS[3].path])
        assert list(state.records()) == [ROWS[0], *ROWS[1:3], *expected[4:]]
        assert state.oldest_proof() == ROWS[0].verified_at


def test_pages_of_files_and_copies(tmp_path: Path) -> None:
    rows = [row(f"{number:06}") for number in range(9_000)]
    expected = [derived(each) if number % 7 < 3 else each for number, each in enumerate(rows)]
    with opened(tmp_path) as state:
        state.record(reversed(expected), at=1.0)
        assert list(state.records()) == expected


@pytest.mark.parametrize(
    "damage", ["pixels = 'x'", "pixels = -1", "copy_sha256 = 'c'", "copy_size = -1", "size = -5"]
)
def test_an_impossible_copy_proves_nothing(folder: Path, damage: str) -> None:
    with opened(folder) as state:
        state.record([derived(ROWS[7])], at=1.0)
    with closing(sqlite3.connect(folder / STATE_NAME)) as db, db:
        db.execute(f"UPDATE derived SET {damage}")
    with opened(folder) as state:
        assert list(state.records()) == [*ROWS[:7], *ROWS[8:]]


def test_forgetting_takes_only_what_is_named(folder: Path) -> None:
    with opened(folder) as state:
        state.forget([ROWS[3].path, "files/p10/never-there.jpg"])
        assert list(state.records()) == ROWS[:3] + ROWS[4:]


def test_a_good_row_clears_contradiction_and_failure(tmp_path: Path) -> None:
    bad = [DigestMismatch(f"{n}.jpg", "a" * 64, "b" * 64, '"tag"') for n in range(2)]
    failed = [Outcome(f"{n}.jpg", Result.FAILED, reason="lost") for n in range(2)]
    with opened(tmp_path) as state:
        state.record(mismatches=bad, failures=failed, at=1.0)
        assert state.mismatches() == bad
        state.record([row("0.jpg")], at=2.0)
        assert state.mismatches() == bad[1:]
    with sqlite3.connect(tmp_path / STATE_NAME) as db:
        assert db.execute("SELECT path, reason, at FROM failure").fetchall() == [
            ("1.jpg", "lost", 1.0)
        ]
    db.close()


def test_selections_are_remembered_oldest_first_and_once(tmp_path: Path) -> None:
    whole = Selection()
    part = Selection(
        ("p10", "p11"),
        only=(Kind.IMAGES, Kind.TABLES),
        include=("*.jpg",),
        exclude=("*x*",),
        tables=False,
    )
    with opened(tmp_path) as state:
        assert state.selections() == []
        state.record_selection(part, at=1.0)
        state.record_selection(whole, at=2.0)
        assert state.selections() == [part, whole]
        state.record_selection(part, at=3.0)
    with opened(tmp_path) as state:
        assert state.selections() == [whole, part]


@pytest.mark.parametrize("strange", ["{", "[]", "{}", "null", '{"subjects": ["1"]}'])
def test_a_selection_of_a_later_version_is_passed_over(tmp_path: Path, strange: str) -> None:
    with opened(tmp_path) as state:
        state.record_selection(Selection(("p10",)), at=1.0)
        state._db.execute("INSERT INTO selection VALUES (?, 2.0)", (strange,))
        state._db.commit()
        assert state.selections() == [Selection(("p10",))]


def test_a_commit_is_whole_or_not_at_all(folder: Path) -> None:
    with opened(folder) as state:
        bad = row("files/p10/a.jpg")._replace(size=None)
        with pytest.raises(DiskError, match="NOTNULL"):
            state.record([row("files/p10/0.jpg"), bad], at=2.0)
        assert list(state.records()) == ROWS


# ── damage ─────────────────────────────────────────────────────────────────────────────────────


def assert_set_aside(folder: Path, damaged: bytes) -> None:
    state, [aside] = State.open(folder, STAMP)
    assert aside == folder / f"{STATE_NAME}.damaged-{STAMP}"
    assert aside.read_bytes() == damaged
    with state:
        assert list(state.records()) == []
    assert_works(opened(folder))


@pytest.mark.parametrize("length", [15, 16, 50, 99, 100, 512, 4_095, 4_096, 8_192, 20_000])
def test_cut_short(folder: Path, length: int) -> None:
    path = folder / STATE_NAME
    whole = path.read_bytes()
    assert length < len(whole)
    path.write_bytes(whole[:length])
    assert State.read(folder) is None or length > 4_096
    assert_set_aside(folder, whole[:length])


@pytest.mark.parametrize("length", [10, 100, 5_000, 100_000])
def test_garbage(folder: Path, length: int) -> None:
    garbage = random.Random(length).randbytes(length)
    (folder / STATE_NAME).write_bytes(garbage)
    assert State.read(folder) is None
    assert_set_aside(folder, garbage)


@pytest.mark.parametrize("table", ["file", "contradiction", "failure", "rate", "selection"])
@pytest.mark.parametrize("damage", ["DROP TABLE {}", "ALTER TABLE {} RENAME COLUMN {} TO x"])
def test_a_table_that_is_not_as_it_should_be(folder: Path, table: str, damage: str) -> None:
    column = {"rate": "seconds", "selection": "what"}.get(table, "path")
    db = sqlite3.connect(folder / STATE_NAME)
    db.execute(damage.format(table, column))
    db.close()
    assert_set_aside(folder, (folder / STATE_NAME).read_bytes())


LATER = (f"PRAGMA user_version = {FORMAT + 1}", "CREATE TABLE pixels (hash BLOB) STRICT")


@pytest.mark.parametrize("name", [STATE_NAME, f"state.{'a' * 32}.sqlite3"])
@pytest.mark.parametrize("statements", [LATER, LATER[:1], ("DROP TABLE file", *LATER)])
def test_made_by_a_later_version(folder: Path, name: str, statements: tuple[str, ...]) -> None:
    """Nothing of it is touched, and nothing is taken for unproved: no shard is hashed again."""
    if name != STATE_NAME:
        shutil.copy(folder / STATE_NAME, folder / name)
    with closing(sqlite3.connect(folder / name)) as db:
        for statement in statements:
            db.execute(statement)
    before = contents(folder)
    ways = [lambda: State.open(folder, STAMP)]
    if name == STATE_NAME:
        ways.append(lambda: State.read(folder))
    for way in ways:
        with pytest.raises(NewerFormat, match=rf"later cxrsync \(state format {FORMAT + 1}"):
            way()
    assert contents(folder) == before


def test_deleted_or_empty_is_begun_anew(folder: Path) -> None:
    for damage in (Path.unlink, lambda path: path.write_bytes(b"")):
        damage(folder / STATE_NAME)
        assert State.read(folder) is None
        assert_works(opened(folder))


def test_any_flipped_byte_leaves_a_state_that_works(folder: Path, quick: Path) -> None:
    """Kept or set aside: a run never dies of it, neither on opening nor later."""
    whole = (folder / STATE_NAME).read_bytes()
    chance = random.Random(2)
    # The head of the file first: there one byte makes it a WAL file, or read-only, or nothing.
    places = [*range(100), *(chance.randrange(len(whole)) for _ in range(150))]
    kept = 0
    for number, place in enumerate(places):
        damaged = bytearray(whole)
        damaged[place] = 2 if place in {18, 19} else chance.randrange(256)
        here = quick / f"damaged-{number}"
        here.mkdir()
        (here / STATE_NAME).write_bytes(damaged)
        if int.from_bytes(damaged[60:64], "big", signed=True) > FORMAT:
            # Nobody can tell it from a later format: a person must look.
            with pytest.raises(NewerFormat):
                State.open(here, STAMP)
            continue
        read = State.read(here)
        if read is not None:
            read.close()
        state, aside = State.open(here, STAMP)
        assert [path.read_bytes() for path in aside] in ([], [damaged])
        kept += not aside
        assert_works(state)
    assert 0 < kept < len(places)


def test_a_head_that_says_read_only(folder: Path) -> None:
    damaged = bytearray((folder / STATE_NAME).read_bytes())
    damaged[18] = 3
    (folder / STATE_NAME).write_bytes(damaged)
    assert_set_aside(folder, damaged)


def test_a_journal_of_nonsense(folder: Path) -> None:
    (folder / f"{STATE_NAME}-journal").write_bytes(b"nonsense" * 1_000)
    with opened(folder) as state:
        assert list(state.records()) == ROWS
    assert sorted(contents(folder)) == [STATE_NAME]
    assert_works(opened(folder))


def test_the_journal_of_a_damaged_state_is_not_applied_to_its_successor(folder: Path) -> None:
    (folder / STATE_NAME).write_bytes(b"garbage" * 1_000)
    (folder / f"{STATE_NAME}-journal").write_bytes(b"garbage" * 1_000)
    state, aside = State.open(folder, STAMP)
    assert aside == [folder / f"{STATE_NAME}.damaged-{STAMP}"]
    assert_works(state)
    assert not (folder / f"{STATE_NAME}-journal").exists()


# ── places that cannot be written ──────────────────────────────────────────────────────────────


def test_a_reader_makes_nothing(tmp_path: Path) -> None:
    assert State.read(tmp_path / "nowhere") is None
    assert State.read(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def read_only(folder: Path) -> Iterator[Path]:
    """The partition, on a file system that has become read-only."""
    mount = ["mount", "--bind", str(folder), str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system is not permitted here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_read_only_state_can_be_read_but_not_written(read_only: Path) -> None:
    with opened(read_only) as state, pytest.raises(DiskError, match=STATE_NAME):
        state.record([row("x")], at=2.0)
    reader = State.read(read_only)
    assert reader is not None
    with reader:
        assert list(reader.records()) == ROWS
    with pytest.raises(DiskError):
        State.open(read_only / "p11", STAMP)


def test_damage_that_cannot_be_set_aside(folder: Path, request: pytest.FixtureRequest) -> None:
    (folder / STATE_NAME).write_bytes(b"garbage" * 1_000)
    request.getfixturevalue("read_only")
    with pytest.raises(DiskError, match=STATE_NAME):
        State.open(folder, STAMP)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "p10").write_text("mine")
    with pytest.raises(DiskError):
        State.open(tmp_path / "p10", STAMP)
    assert State.read(tmp_path / "p10") is None


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as ours:
        ours.bind(str(path))


PLANTED: dict[str, Callable[[Path], object]] = {
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "socket": make_socket,
    "link to nothing": lambda path: path.symlink_to(path.with_name("elsewhere")),
    "link to another state": lambda path: path.symlink_to("p11/state.sqlite3"),
}


@pytest.mark.parametrize("name", [STATE_NAME, f"{STATE_NAME}-journal"])
@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_something_else_where_the_state_should_be(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, plant: Callable[[Path], object]
) -> None:
    """It is neither followed nor waited for; in place of the state it is set aside as damage is."""
    monkeypatch.chdir(folder)  # a socket's path is short
    with opened(folder / "p11") as state:
        state.record(ROWS[:1], at=1.0)
    other = (folder / "p11" / STATE_NAME).read_bytes()
    (folder / name).unlink(missing_ok=True)
    plant(Path(name))
    if (reader := State.read(folder)) is not None:
        reader.close()

    state, aside = State.open(folder, STAMP)

    assert len(aside) == (name == STATE_NAME)
    assert list(state.records()) == ([] if aside else ROWS)
    assert_works(state)
    assert (folder / STATE_NAME).is_file()
    assert not (folder / STATE_NAME).is_symlink()
    assert (folder / "p11" / STATE_NAME).read_bytes() == other
    assert not (folder / "elsewhere").exists()


def test_a_state_that_acts_by_itself_is_none(folder: Path) -> None:
    with sqlite3.connect(folder / STATE_NAME) as db:
        db.execute("CREATE TRIGGER t AFTER INSERT ON file BEGIN DELETE FROM file; END")
    db.close()
    state, [_aside] = State.open(folder, STAMP)
    assert_works(state)
