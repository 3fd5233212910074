"""Tables, plain and gzip: rows, or InvalidTable; nothing else, and in a memory that does not
grow."""

import gzip
import io
import tracemalloc

import pytest
from fuzz.mutations import many, mutated
from hypothesis import example, given
from hypothesis import strategies as st

from cxrsync.manifest.csv_reader import InvalidTable, column_names, label_value, read_rows

COLUMNS = ("dicom_id", "split")
TABLE = b"dicom_id,study_id,subject_id,split\n" + b"".join(
    b'%032x,%d,%d,"%s"\n' % (n, 5 * n, n, (b"train", b"test")[n % 2]) for n in range(50)
)
PACKED = gzip.compress(TABLE, mtime=0)


def read(data: bytes) -> list[tuple[str, ...]] | None:
    """The rows; None for a bad table."""
    stream = io.BytesIO(data)
    try:
        column_names(io.BytesIO(data), "t.csv")
        rows = list(read_rows(stream, "t.csv", COLUMNS))
    except InvalidTable as problem:
        said = str(problem)
    else:
        assert rows
        assert all(len(row) == len(COLUMNS) for row in rows)
        return rows
    assert said.startswith("t.csv: ")
    assert len(said) < 1_000
    return None


@many
@given(mutated(TABLE, most=12))
@example(b"")
@example(b"\x1f")
@example(b"\xef\xbb\xbf")
@example(b"dicom_id,split\n" + b'"' * 3_000)
@example(b"dicom_id,split\n" + b"," * 300_000)
@example(b"," * 300_000 + b"\n1")
@example(b"dicom_id,split\n1," + b"9" * 200_000)
def test_plain(data: bytes) -> None:
    read(data)


@many
@given(mutated(PACKED, PACKED + PACKED, most=3))
@example(PACKED[:10])
@example(PACKED + b"\0" * 100)
@example(PACKED + b"trash")
@example(b"\x1f\x8b\x08\x04\0\0\0\0\0\0\xff\xff")  # an extra field that is not there
@example(b"\x1f\x8b\x08\x08\0\0\0\0\0\0" + b"name without end" * 1_000)
def test_packed(data: bytes) -> None:
    rows = read(data)
    # The CRC stands for the bytes: what is read at all is read right.
    if rows is not None and data.startswith(b"\x1f\x8b"):
        assert set(rows) <= set(read(TABLE) or ()) | {COLUMNS}


@many
@given(mutated(TABLE, most=6))
def test_packed_or_not_is_the_same(data: bytes) -> None:
    if not data.startswith(b"\x1f\x8b"):
        assert read(gzip.compress(data, 1)) == read(data)


@pytest.mark.parametrize(
    ("head", "again"),
    [(b"", b"a"), (TABLE, b"\0"), (b'dicom_id,split\n"', b"\n")],
    ids=["one line", "NULs", "one row"],
)
def test_a_bomb_takes_no_memory(head: bytes, again: bytes) -> None:
    packed = gzip.compress(head + again * (80 << 20), 1)
    tracemalloc.start()
    assert read(packed) is None
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 << 20


@many
@given(st.text())
def test_a_label(text: str) -> None:
    assert label_value(text) in {None, "0", "1", "-1", "blank"}
