"""Tables as csv.writer leaves them read back; whatever is odd is told, and shows no value."""

import csv
import gzip
import io
import itertools
from collections.abc import Callable, Iterator
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync import utf8_stream
from cxrsync.demo.data import tables as demo
from cxrsync.errors import ExitCode
from cxrsync.manifest import csv_reader
from cxrsync.manifest.csv_reader import InvalidTable, column_names, label_value, read_rows

many = settings(max_examples=examples(200))

SPLIT = b"dicom_id,study_id,split\na,s1,train\nb,s1,test\n"
VALUE = "10000032"  # stands for what a message must not show


class Dribble(io.BytesIO):
    """An unbuffered stream: it gives a byte or two, whatever it is asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(1 if self.tell() < 100 else 2)


def rows(data: bytes, *columns: str) -> list[tuple[str, ...]]:
    return list(read_rows(io.BytesIO(data), "t.csv", columns))


@pytest.mark.parametrize(
    ("data", "columns", "expected"),
    [
        (SPLIT, ["split", "dicom_id"], [("train", "a"), ("test", "b")]),
        (SPLIT, ["study_id"], [("s1",), ("s1",)]),
        (SPLIT, [], [(), ()]),
        (SPLIT, ["split", "split"], [("train", "train"), ("test", "test")]),
        (SPLIT[:-1], ["split"], [("train",), ("test",)]),
        (SPLIT.replace(b"\n", b"\r\n"), ["split"], [("train",), ("test",)]),
        (SPLIT.replace(b"\n", b"\r"), ["split"], [("train",), ("test",)]),
        (b"\xef\xbb\xbf" + SPLIT, ["dicom_id"], [("a",), ("b",)]),
        (b'\xef\xbb\xbf"a,b"\n1\n', ["a,b"], [("1",)]),
        (b" a ,\tb\r\n 1 ,2\r\n", ["b", "a"], [("2", " 1 ")]),  # values keep their blanks
        (b"\n\na\n\n1\n\n2\n\n", ["a"], [("1",), ("2",)]),
        (b'a\n""\n', ["a"], [("",)]),
        (b'a,b\n"1\n2","3""4"\n', ["a", "b"], [("1\n2", '3"4')]),
        ("a\nx\u2028y\x85z\x0b\n".encode(), ["a"], [("x\u2028y\x85z\x0b",)]),  # no line ends
        (b"a,a,b\n1,2,3\n", ["b"], [("3",)]),
        (SPLIT.decode().encode("utf-16"), ["dicom_id"], [("a",), ("b",)]),
        (SPLIT.decode().encode("utf-16-be"), ["dicom_id"], [("a",), ("b",)]),
        (SPLIT.replace(b",", b"\t"), ["split", "dicom_id"], [("train", "a"), ("test", "b")]),
        (b"\n\n" + SPLIT.replace(b",", b";"), ["split"], [("train",), ("test",)]),
        (b'"a";b\n"x;y";"2,3"\n', ["b", "a"], [("2,3", "x;y")]),
    ],
)
def test_what_is_read(data: bytes, columns: list[str], expected: list[tuple[str, ...]]) -> None:
    packed = gzip.compress(data)
    for stream in (io.BytesIO(data), io.BytesIO(packed), Dribble(data), Dribble(packed)):
        assert list(read_rows(stream, "t.csv", columns)) == expected
        assert not stream.closed


BODY = f"a,b\n{VALUE},2\n{VALUE},4\n".encode()
PACKED = gzip.compress(BODY, mtime=0)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b"a,b", "but no rows"),
        (b"a,b\n\n", "but no rows"),
        (b"c,d\n1,2\n", "no column a; it has c, d"),
        (b"A,b\n1,2\n", "no column a; it has A, b"),
        (b"aa,zz,yy\n1,2,3\n", "no column a; it has aa"),
        (b" , \n1,2\n", "no column a; it has none with a name"),
        (b"a,b,a\n1,2,3\n", "2 columns named a"),
        (f"p{VALUE},x\n{VALUE},x\n".encode(), "first line holds values"),
        (f"{demo.FIRST_IMAGE},x\n".encode(), "first line holds values"),
        (BODY + VALUE.encode(), "line 4: not as many fields as the header has (1, not 2)"),
        (b'a,b\n"1\n\n",2\n1,2,3\n', "line 5: not as many"),
        (BODY + b"\xff\n", "line 4: not UTF-8"),
        (BODY.decode().encode("utf-16")[:-1], "not valid UTF-16"),
        (BODY.replace(b",", b"\t").replace(b"a\tb", b"a\tc"), "no column a"),
        (BODY + b"1,\0\n", "line 4: a NUL"),
        (BODY + b"1,2\n" * 200_000 + b"\0", "line 200004: a NUL"),
        (BODY + b'1,"' + VALUE.encode(), "line 4: not valid CSV"),
        (BODY + b'1,"x"y\n', "line 4: not valid CSV"),
        (BODY + b"1," + b"x" * 200_000 + b"\n", "131,072 characters"),
        (BODY + b"x" * 2_000_000, "a row of more than 1,048,576 bytes"),
        (PACKED[:-1], "cut off"),
        (PACKED[:2], "cut off"),
        (PACKED + PACKED[:30], "cut off"),
        (PACKED + b"PK", "damaged gzip"),
        (PACKED[:-8] + bytes(4) + PACKED[-4:], "damaged gzip"),
        (PACKED[:10] + b"\xff" + PACKED[11:], "damaged gzip"),
    ],
)
def test_what_is_odd(data: bytes, what: str) -> None:
    with pytest.raises(InvalidTable) as caught:
        rows(data, "a", "b")
    error = caught.value
    assert str(error).startswith("t.csv: ")
    assert what in str(error)
    assert VALUE not in str(error)
    assert error.table == "t.csv"
    assert error.exit_code is ExitCode.USAGE
    assert "t.csv" in error.next_step


def test_a_message_names_few_columns() -> None:
    header = "\x1b[2J," + ",".join(f"column {number}" for number in range(10_000)) + "\n"
    with pytest.raises(InvalidTable) as caught:
        rows(header.encode(), "dicom_id")
    assert "column 1," in str(caught.value)
    assert len(str(caught.value)) < 500
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("unit", [b"x", b'"\n",', b'"",\r'])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_row_without_end_is_not_taken_in(
    unit: bytes, pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = 0
    pieces = utf8_stream.utf8_pieces

    def counted(stream: BinaryIO) -> Iterator[bytes]:
        nonlocal taken
        for piece in pieces(stream):
            taken += len(piece)
            yield piece

    monkeypatch.setattr(csv_reader, "utf8_pieces", counted)
    with pytest.raises(InvalidTable):
        rows(pack(b"a\n1\n" + unit * (8 << 20)), "a")
    assert taken < 2 << 20


def test_a_long_row_behind_many() -> None:
    wide = b"x" * 100_000
    data = b"a" + b"," * 9 + b"\n" + b"1,,,,,,,,,\n" * 40_000 + b",".join([wide] * 10) + b"\n"
    assert rows(data, "a")[-1] == (wide.decode(),)


def test_more_bytes_than_a_table_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utf8_stream, "MAX_BYTES", len(SPLIT))
    for data in (SPLIT, gzip.compress(SPLIT)):
        assert len(rows(data, "split")) == 2
    for data in (SPLIT + b"\n", gzip.compress(SPLIT + b"\n")):
        with pytest.raises(InvalidTable, match="more than 45 bytes"):
            rows(data, "split")


def test_a_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utf8_stream, "BOMB_FROM_BYTES", 20_000)
    monkeypatch.setattr(utf8_stream, "BOMB_RATIO", 10)
    same = b"a,b\n" * 10_000
    with pytest.raises(InvalidTable, match="expands to more than 10 times"):
        rows(gzip.compress(same), "a")
    assert len(rows(gzip.compress(same[:20_000]), "a")) == 4_999
    assert len(rows(gzip.compress(same, compresslevel=0), "a")) == 9_999
    assert len(rows(same, "a")) == 9_999


words = st.text(
    st.one_of(st.sampled_from('",\r\n é日🫁'), st.characters(exclude_categories=["Cs"])),
    max_size=6,
).map(lambda word: word.replace("\0", ""))
names = words.map(lambda word: word.strip().replace("\ufeff", "")).filter(bool)


@many
@given(
    st.data(),
    st.lists(names, min_size=1, max_size=5, unique=True),
    # What csv.writer leaves bare must not hold the ends of lines.
    st.sampled_from([("\r\n", csv.QUOTE_MINIMAL), ("\n", csv.QUOTE_ALL)]),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.sampled_from([1, 2, 3, 1 << 17]),
)
def test_what_csv_wrote_reads_back(
    data: st.DataObject, header: list[str], style: tuple[str, int], mark: bytes, piece: int
) -> None:
    row = st.tuples(*[words] * len(header))
    body = data.draw(st.lists(row, min_size=1, max_size=8))
    wanted = data.draw(st.lists(st.sampled_from(header), max_size=6))
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator=style[0], quoting=style[1])
    table.writerow([f" {name}\t" for name in header])
    table.writerows(body)
    written = mark + text.getvalue().encode()
    half = len(written) // 2
    expected = [tuple(row[header.index(name)] for name in wanted) for row in body]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utf8_stream, "_PIECE", piece)
        for file in (
            written,
            gzip.compress(written),
            gzip.compress(written[:half]) + gzip.compress(written[half:]) + bytes(512),
        ):
            assert column_names(io.BytesIO(file), "t") == header
            assert rows(file, *wanted) == expected


LARGE = "dicom_id,n\n" + "".join(f"{demo._dicom_id(demo.rng_for(n))},{n}\n" for n in range(6_000))


@pytest.mark.parametrize("text", [SPLIT.decode(), LARGE])
def test_a_gzip_cut_anywhere_is_told(text: str) -> None:
    packed = gzip.compress(text.encode(), mtime=0)
    assert len(rows(packed, "dicom_id")) == text.count("\n") - 1
    step = max(1, len(packed) // 200)
    for end in {*range(0, len(packed), step), *range(len(packed) - 10, len(packed))}:
        with pytest.raises(InvalidTable):
            rows(packed[:end], "dicom_id")


def test_a_gzip_with_a_changed_byte_never_reads_otherwise() -> None:
    packed = gzip.compress(SPLIT, mtime=0)
    expected = rows(packed, "dicom_id", "split")
    told = 0
    for place, flip in itertools.product(range(len(packed)), (1, 8, 0x80, 0xFF)):
        changed = bytearray(packed)
        changed[place] ^= flip
        try:
            assert rows(bytes(changed), "dicom_id", "split") == expected
        except InvalidTable:
            told += 1
    assert told >= 4 * (len(packed) - 10)  # all but some of the gzip header's ten


def test_a_read_that_fails_is_the_disks() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise OSError(5, "Input/output error")
            return super().read(size)

    for data in (SPLIT, gzip.compress(SPLIT)):
        with pytest.raises(OSError, match="Input/output"):
            list(read_rows(Failing(data), "t.csv", ["split"]))


def test_the_names_alone_need_no_rows() -> None:
    assert column_names(io.BytesIO(b"\xef\xbb\xbf a,b \r\n1\n\xff"[:-1]), "t") == ["a", "b"]
    with pytest.raises(InvalidTable, match="t: is empty"):
        column_names(io.BytesIO(b""), "t")


def test_the_tables_of_the_dataset() -> None:
    studies = demo.cohort(40, 1, "2.1.0")
    images = [(study, image) for study in studies for image in study.images]
    assert rows(gzip.compress(demo.split(studies)), "split", "subject_id", "dicom_id") == [
        (study.split, str(study.subject), image.id) for study, image in images
    ]
    assert rows(gzip.compress(demo.metadata(studies, 64)), "dicom_id", "ViewPosition") == [
        (image.id, image.view) for _study, image in images
    ]
    labels = rows(demo.labels(studies, "chexpert"), *demo.LABELS)
    assert len(labels) == len(studies)
    found = {label_value(label) for row in labels for label in row}
    assert found == {"1", "0", "-1", "blank"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.0", "1"),
        ("1", "1"),
        ("0.0", "0"),
        ("0", "0"),
        ("-1.0", "-1"),
        ("-1", "-1"),
        ("", "blank"),
        ("blank", None),
        (" ", None),
        ("2.0", None),
        ("nan", None),
        ("1.00", None),
        (" 1.0", None),
    ],
)
def test_labels(text: str, value: str | None) -> None:
    assert label_value(text) == value
