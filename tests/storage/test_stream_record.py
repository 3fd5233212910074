"""The record of a stream: what was used stays used, whatever a kill leaves of the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrsync.errors import UsageError
from cxrsync.storage import stream_record
from cxrsync.storage.stream_record import Position, StreamRecord, parse_record

ABOUT = {"dataset": "mimic-cxr-jpg", "version": "2.1.0", "selections": []}
PATHS = [f"files/p10/{number}.jpg" for number in range(12)]


@given(order=st.permutations(range(6)), used=st.integers(0, 6))
def test_what_was_used_is_used_and_nothing_else(order: list[int], used: int) -> None:
    record = StreamRecord(None, ABOUT)
    paths = sorted(PATHS)[:6]
    for path in paths:
        record.begin(path)
    for number in order[:used]:
        record.use(paths[number])
    found = {path for path in sorted(PATHS) if record.position.is_used(path)}
    assert found == {paths[number] for number in order[:used]}


def test_it_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_record, "_MAX_BYTES", 300)  # so that it is written anew meanwhile
    file = tmp_path / "record"
    used = set()
    for part in (PATHS[:5], PATHS[5:]):
        record = StreamRecord(file, ABOUT)
        record.load()
        assert {path for path in PATHS if record.position.is_used(path)} == used
        for path in (path for path in sorted(PATHS) if not record.position.is_used(path)):
            record.begin(path)
        for path in part:
            record.use(path)
        used |= set(part)
        record.close()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_size < 2000


def test_whatever_a_kill_leaves(tmp_path: Path) -> None:
    """Of the last line any part, or zeros in its place: the line before counts."""
    file = tmp_path / "record"
    record = StreamRecord(file, ABOUT)
    record.load()
    for path in sorted(PATHS)[:3]:
        record.begin(path)
        record.use(path)
    record.close()
    whole = file.read_bytes()
    before = whole[: whole[:-1].rindex(b"\n") + 1]
    last = [Position(path, frozenset(), path) for path in sorted(PATHS)[1:3]]
    assert parse_record(whole, ABOUT) == last[1]
    for end in range(len(before), len(whole)):
        assert parse_record(whole[:end], ABOUT) == last[0]
        zeros = whole[:end] + bytes(len(whole) - end)
        assert parse_record(zeros, ABOUT) in last


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "is not a record"),
        (b"mine\n", "is not a record"),
        (b"[1]\n", "is not a record"),
        (b'{"format": 2, "dataset": "x"}\n', "is not a record"),
        (b"[" * 100_000, "is not a record"),
        (b"\xff\n", "is not a record"),
        (b'{"format": 1, "dataset": "mimic-cxr"}\n', "another dataset, version or selection"),
    ],
)
def test_another_file_is_not_touched(tmp_path: Path, text: bytes, said: str) -> None:
    file = tmp_path / "record"
    file.write_bytes(text)
    with pytest.raises(UsageError, match=said):
        StreamRecord(file, ABOUT).load()
    assert file.read_bytes() == text
