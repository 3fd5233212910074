"""The first rows of a table from its first bytes: as many as are whole, and no report's text."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrsync.manifest.csv_reader import InvalidTable
from cxrsync.manifest.table_head import TableHead, read_table_head

NAME = "t.csv.gz"
TABLE = "dicom_id,split\na,train\nb,test\nc,validate\n"
ALL = (("a", "train"), ("b", "test"), ("c", "validate"))
COLUMNS = ("dicom_id", "split")


def head(data: bytes, rows: int = 10, *, whole: bool = True) -> TableHead:
    return read_table_head(data, NAME, rows, whole=whole)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("asked", "rows", "ends"),
    [(0, (), False), (1, ALL[:1], False), (3, ALL, True), (4, ALL, True)],
)
def test_a_whole_table(pack: object, asked: int, rows: object, ends: bool) -> None:
    assert callable(pack)
    found = head(pack(TABLE.encode()), asked)
    assert found == TableHead(COLUMNS, rows, ends=ends)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (TABLE[:-1], ALL[:2]),  # the last line may go on
        (TABLE, ALL),
        (TABLE + "d,tr", ALL),
        (TABLE + 'd,"a\nb', ALL),  # in a quoted field
        (TABLE + 'd,"a\nb"', ALL),
        (TABLE + "\n\n", ALL),
        (TABLE.replace("\n", "\r\n") + "d", ALL),
        ("\ufeff" + TABLE, ALL),
        (TABLE + "\u00e4"[:1], ALL),
    ],
)
def test_a_cut_table_loses_its_last_half_row(text: str, rows: object) -> None:
    assert head(text.encode(), whole=False) == TableHead(COLUMNS, rows, is_cut=True)  # type: ignore[arg-type]


def test_a_cut_in_the_middle_of_a_letter() -> None:
    data = (TABLE + "\u00e4").encode()[:-1]
    assert head(data, whole=False).rows == ALL


def test_as_many_rows_as_asked_for_are_not_cut() -> None:
    assert head(TABLE.encode(), 3, whole=False) == TableHead(COLUMNS, ALL)


@given(st.integers(0, 400), st.lists(st.tuples(st.text('ab,"\n é', max_size=9)), max_size=20))
def test_a_cut_anywhere_gives_a_beginning(cut: int, cells: list[tuple[str]]) -> None:
    """Of plain and of packed bytes: the rows are the first ones of the whole table."""
    quoted = (cell.replace('"', '""') for (cell,) in cells)
    data = ("x,y\n" + "".join(f'1,"{cell}"\n' for cell in quoted)).encode()
    whole = head(data, 100)
    packed = gzip.compress(data)[:cut]
    for piece, text in (
        (data[:cut], data[:cut]),
        (packed, zlib.decompressobj(31).decompress(packed)),
    ):
        if b"\n" not in text:
            with pytest.raises(InvalidTable, match="first line"):
                head(piece, whole=False)
            continue
        found = head(piece, 100, whole=False)
        assert found.columns == ("x", "y")
        assert found.rows == whole.rows[: len(found.rows)]
        assert found.is_cut


def test_a_cut_gzip_stream_is_read_as_far_as_it_goes() -> None:
    lines = "".join(f"{zlib.crc32(str(n).encode())},{n}\n" for n in range(5000))
    data = gzip.compress(f"a,b\n{lines}".encode())
    found = head(data[: len(data) // 2], 5000, whole=False)
    # All that zlib can tell is there.
    text = zlib.decompressobj(31).decompress(data[: len(data) // 2])
    assert len(found.rows) == text.count(b"\n") - 1 > 2000
    assert found.is_cut


def test_a_file_of_several_members() -> None:
    data = gzip.compress(TABLE[:20].encode()) + gzip.compress(TABLE[20:].encode())
    assert head(data).rows == ALL
    assert head(data[:-12], whole=False).rows[:1] == ALL[:1]


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b"a,b\n" + b"1,2\n" * 10_000_000)[: 64 << 10]
    found = head(bomb, 3, whole=False)
    assert found.rows == (("1", "2"),) * 3


@pytest.mark.parametrize(
    ("data", "whole", "says"),
    [
        (b"", True, "is empty"),
        (b"\n\n", True, "is empty"),
        (gzip.compress(b""), True, "is empty"),
        (b"a,b", False, "its first line is too long"),
        (gzip.compress(b"a,b\n1,2\n")[:12], False, "its first line is too long"),
        (gzip.compress(b"a,b\n1,2\n")[:-3], True, "cut off"),
        (b"\x1f\x8b" + bytes(20), True, "damaged gzip"),
        (b"a,b\n1,2,3\n", True, "line 2: not as many fields"),
        (b'a,b\n1,"2\n', True, "not valid CSV"),
        (b"a,b\n\xff\xfe,2\n", True, "line 2: not UTF-8"),
        (b"a,b\n\0,2\n", True, "NUL"),
    ],
)
def test_what_is_no_table(data: bytes, whole: bool, says: str) -> None:
    with pytest.raises(InvalidTable, match=says):
        head(data, whole=whole)


def test_an_error_in_a_row_that_nobody_asked_for() -> None:
    assert head(b"a,b\n1,2\n1,2,3\n", 1).rows == (("1", "2"),)


@pytest.mark.parametrize(
    ("column", "cell", "shown"),
    [
        ("TEXT", "FINDINGS: none", "<14 characters>"),
        ("Findings", "x", "<1 characters>"),
        ("note text", "x", "<1 characters>"),
        ("TEXT", "", ""),
        ("view", "PA", "PA"),
        ("context", "PA", "PA"),
        ("view", "x" * 200, "x" * 200),
        ("view", "x" * 201, "<201 characters>"),
        ("view", '"a\nb"', "<3 characters>"),
    ],
)
def test_free_text_is_not_shown(column: str, cell: str, shown: str) -> None:
    found = head(f"id,{column}\n1,{cell}\n".encode())
    assert found.rows == (("1", shown),)
    assert found.hidden == ((column,) if shown.startswith("<") else ())
