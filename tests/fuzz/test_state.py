"""The state: whatever lies in its place, it is read, or set aside and begun anew; no path of a run
is spoilt by it."""

import functools
import os
import re
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from fuzz.mutations import anything, many, misshapen, mutated, texts
from hypothesis import example, given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.config.selection import Selection
from cxrsync.errors import DiskError, NewerFormat
from cxrsync.model import DigestMismatch, FileRecord, Outcome, Result, is_validator
from cxrsync.storage.state_db import State
from cxrsync.storage.state_schema import FORMAT, header_of
from cxrsync.storage.state_snapshot import STATE_NAME

ROW = FileRecord("files/p10/fresh.jpg", "a" * 64, 1, 10**18, "https://x", '"tag"', 1.5e9)
SELECTION = Selection(shards=("p10",))


@functools.cache
def real() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        state, _aside = State.open(Path(folder), "now")
        with state:
            rows = [ROW._replace(path=f"files/p10/{n:04}.jpg") for n in range(60)]
            state.record(
                rows,
                [DigestMismatch("b", "c" * 64, "d" * 64, "")],
                [Outcome("e", Result.FAILED, reason="no")],
                at=1.0,
            )
            state.record_selection(SELECTION, at=1.0)
            state.record_rate(10, 1.0, at=1.0)
        return (Path(folder) / STATE_NAME).read_bytes()


def read_all(state: State) -> list[FileRecord]:
    rows = list(state.records())
    for row in rows:
        assert all(type(text) is str for text in (row.path, row.source))
        assert re.fullmatch("[0-9a-f]{64}", row.sha256)
        assert type(row.size) is type(row.mtime_ns) is int
        assert 0 <= row.size <= 1 << 50
        assert not row.validator or is_validator(row.validator)
    assert all(isinstance(each, Selection) for each in state.selections())
    for known in state.mismatches():
        assert not known.validator or is_validator(known.validator)
        assert re.fullmatch("[0-9a-f]{64} [0-9a-f]{64}", f"{known.expected} {known.observed}")
    state.last_rate()
    return rows


def assert_survives(folder: Path) -> None:
    before = sorted(os.listdir(folder))
    head = header_of((folder / STATE_NAME).read_bytes()[:100])
    if head is not None and head.format > FORMAT:
        assert_refused(folder)
        return
    reader = State.read(folder)
    if reader is not None:
        with reader:
            read_all(reader)
    assert sorted(os.listdir(folder)) == before

    state, _aside = State.open(folder, "now")
    with state:
        read_all(state)
        state.record([ROW], at=2.0)
        state.record_selection(SELECTION, at=2.0)
        assert ROW in read_all(state)
        assert SELECTION in state.selections()
    assert all(name.startswith(STATE_NAME) for name in os.listdir(folder))


def assert_refused(folder: Path) -> None:
    """It may be a later version's: a person must look, and nothing is changed."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for way in (State.read, lambda folder: State.open(folder, "now")):
        with pytest.raises(NewerFormat):
            way(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@settings(many, max_examples=examples(150))
@given(st.data())
def test_damage(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / STATE_NAME).write_bytes(data.draw(mutated(real(), most=4)))
        try:
            assert_survives(Path(folder))
        except DiskError as problem:  # what is documented; never a wrong row
            said = str(problem)
        else:
            return
        assert "state" in said


@many
@given(mutated(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + b"\0\0\0\1" * 130 + b"\1" * 4_096, most=3))
def test_a_journal_of_something(journal: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / STATE_NAME).write_bytes(real())
        (Path(folder) / f"{STATE_NAME}-journal").write_bytes(journal)
        assert_survives(Path(folder))


def change(*statements: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(real())
        with closing(sqlite3.connect(path)) as db:
            for statement in statements:
                db.executescript(statement)

    return make


def another(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript("CREATE TABLE moz_places (id INTEGER, url TEXT); PRAGMA user_version=75;")


# Whatever SQLite keeps in a column, be it declared as it may.
values = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=40),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.sampled_from(['"a"\r\nX: y', "*", '"a", "b"', "\x1b[2J", '"' + "x" * 600 + '"', "a" * 64]),
)
SOUND = ("files/p10/9.jpg", "a" * 64, 1, 10**18, "https://x", '"tag"', 1.5)
CONTRADICTED = ("files/p10/9.jpg", "a" * 64, "b" * 64, '"tag"')


def odd(sound: tuple[Any, ...]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(*(st.one_of(st.just(each), values) for each in sound))


@many
@given(odd(SOUND), odd(CONTRADICTED))
@example(SOUND, (*CONTRADICTED[:3], b'"a"'))
@example(SOUND, (*CONTRADICTED[:3], '"a"\r\nX: y'))
@example((*SOUND[:2], 1 << 62, *SOUND[3:]), CONTRADICTED)
@example(("\x00", *SOUND[1:]), ("\x00", *CONTRADICTED[1:]))
def test_odd_values(row: tuple[Any, ...], known: tuple[Any, ...]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / STATE_NAME).write_bytes(real())
        with closing(sqlite3.connect(Path(folder) / STATE_NAME)) as db, db:
            with suppress(sqlite3.IntegrityError):  # NOT NULL holds
                db.execute("INSERT OR REPLACE INTO file VALUES (?,?,?,?,?,?,?)", row)
            with suppress(sqlite3.IntegrityError):
                db.execute("INSERT OR REPLACE INTO contradiction VALUES (?,?,?,?)", known)
        assert_survives(Path(folder))
        reader = State.read(Path(folder))
        assert reader is not None
        with reader:  # the others are what they were
            assert len(read_all(reader)) >= 60
            if known == CONTRADICTED:
                assert DigestMismatch(*CONTRADICTED) in reader.mismatches()


def test_a_reason_of_any_text_is_kept(tmp_path: Path) -> None:
    state, _aside = State.open(tmp_path, "now")
    with state:
        state.record(failures=[Outcome("a", Result.FAILED, reason="\udcff\x1b[2J")], at=1.0)
        assert state._db.execute("SELECT reason FROM failure").fetchall() == [("\\udcff\\x1b[2J",)]


ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "


@pytest.mark.parametrize(
    "make",
    [
        another,
        change("PRAGMA user_version = 99"),
        change("PRAGMA user_version = -1"),
        change("DROP TABLE failure"),
        change("ALTER TABLE file RENAME COLUMN size TO bytes"),
        change("DROP TABLE rate", f"CREATE VIEW rate AS {ENDLESS} SELECT x at, 1, 1 FROM n"),
        change("CREATE TRIGGER t AFTER INSERT ON file BEGIN DELETE FROM file; END"),
        change("UPDATE file SET source = hex(zeroblob(4 << 20)) WHERE path LIKE '%0001%'"),
        change("UPDATE file SET path = CAST(x'FF' || path AS TEXT)"),
        change("UPDATE file SET size = 'many', mtime_ns = x'00', sha256 = x'FFFE'"),
        change("UPDATE rate SET bytes = 9e999, seconds = 'x'"),
        change("UPDATE selection SET what = x'FF'"),
    ],
)
def test_another_database(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / STATE_NAME)
    assert_survives(tmp_path)


def test_texts_that_are_none_do_not_go_on_for_ever(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 come back as a text that sorts before them."""
    change(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 9000) "
        "INSERT INTO file SELECT CAST(x'FFFF' || x AS TEXT), 'a', 1, 1, '', '', 1 FROM n"
    )(tmp_path / STATE_NAME)
    state, _aside = State.open(tmp_path, "now")
    with state:
        assert len(read_all(state)) <= 2 * 9_060


GOOD = SELECTION.as_json() | {"sample": [5, "image", 0], "labels": {"Edema": ["1"]}, "limit": 3}


@many
@given(st.one_of(misshapen(GOOD).map(repr), anything.map(repr), texts))
@example("[" * 100_000)
@example('{"only": [], "tables": true, "limit": 1e999}')
@example('{"only": [], "tables": true, "limit": NaN}')
@example('{"only": [], "tables": true, "labels": {"a": 5}}')
@example('{"only": [], "tables": true, "sample": [1e999, "image", 0]}')
@example('{"only": [], "tables": true, "shards": 5}')
def test_a_selection_of_another_shape(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / STATE_NAME).write_bytes(real())
        with closing(sqlite3.connect(Path(folder) / STATE_NAME)) as db, db:
            what: Any = text.encode("utf-8", "replace").decode()
            db.execute("INSERT OR REPLACE INTO selection VALUES (?, 2)", (what,))
        state = State.read(Path(folder))
        assert state is not None
        with state:
            assert SELECTION in state.selections()
