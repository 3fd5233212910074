"""Lists of ids in the forms that people have: what is read, and what is said of the rest."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.config.id_forms import FORMS, IMAGE, STUDY, SUBJECT, Form, other_form
from cxrsync.config.id_list import IdList, read_id_list
from cxrsync.utf8_stream import UnreadableStream, utf8_pieces

many = settings(max_examples=examples(150))

ID = "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"
OTHER = "174413ec-4ec4c1f7-34ea26b7-c5f994f8-79ef1962"
BARE = ID.replace("-", "")
FOLDER = "files/p10/p10000032/s50414267"
SITE = "https://physionet.org/files/mimic-cxr-jpg/2.1.0"
SUBJECTS, STUDIES = ["p10000032", "p10000764"], ["s50414267", "s57375967"]
WORD = "consolidation"  # stands for the text of a report, which no message may show


def read(data: bytes, form: Form, piece: int = 1 << 17) -> IdList:
    stream = io.BytesIO(data)
    stream.readinto = None  # type: ignore[assignment,method-assign]  # only ``read`` is used
    pieces = b"".join(utf8_pieces(stream))
    return read_id_list((pieces[at : at + piece] for at in range(0, len(pieces), piece)), form)


# ── words ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "word",
    [
        *("p10000032", "P10000032", "10000032", "10000032.0", "10000032.", "10000032.00"),
        *("'10000032'", '"p10000032"', " p10000032 ", "p10000032/", "files/p10/p10000032"),
        *("files\\p10\\p10000032\\", "/data/My Drive/files/p10/p10000032/", f"./{FOLDER}.txt"),
        *(f"{FOLDER}/{ID}.jpg", f"{SITE}/{FOLDER}/{ID}.jpg?download", f"{SITE}/{FOLDER}.txt"),
        "https://physionet.org/content/mimic-cxr/2.1.0/files/p10/p10000032/#files-panel",
        f"gs://mimic-cxr-jpg-2.1.0.physionet.org/{FOLDER}/{ID}.jpg",
    ],
)
def test_words_for_a_subject(word: str) -> None:
    assert SUBJECT.parse(word) == "p10000032"


@pytest.mark.parametrize(
    "word",
    [
        *("s50414267", "S50414267", "50414267", "50414267.0", "s50414267.txt", "50414267.txt"),
        *("s50414267/", f"{FOLDER}", f"{FOLDER}/", f"{FOLDER}.txt", f"{FOLDER}/{ID}.dcm"),
        *(f"{SITE}/{FOLDER}.txt?download", f"{SITE}/{FOLDER}/{ID}.jpg", f'"{FOLDER}.txt"'),
        f"0123  {FOLDER}.txt",  # a line of sha256sum
    ],
)
def test_words_for_a_study(word: str) -> None:
    assert STUDY.parse(word) == "s50414267"


@pytest.mark.parametrize(
    "word",
    [
        *(ID, ID.upper(), BARE, BARE.upper(), f"{ID}.jpg", f"{ID}.DCM", f"{ID}.png", f"{BARE}.png"),
        *(f"{ID}.npy.gz", f"'{ID}'", f"{FOLDER}/{ID}.jpg", f"{FOLDER}/{ID}", f"C:\\x\\{ID}.png"),
        *(f"{SITE}/{FOLDER}/{ID}.jpg?download", f"{SITE}/{FOLDER}/{ID}.jpg#top"),
    ],
)
def test_words_for_an_image(word: str) -> None:
    assert IMAGE.parse(word) == ID


@pytest.mark.parametrize(
    ("form", "word"),
    [
        *((form, word) for form in FORMS for word in ("", " ", "x", "1234567", "123456789", "-")),
        *((form, word) for form in FORMS for word in ("p10000032,p10000033", "1\n2", "５0414267")),
        *((SUBJECT, word) for word in ("s10000032", "10000032.5", "p10000032.txt", f"{ID}.jpg")),
        *((SUBJECT, word) for word in ("files/p10/10000032", "p10", "p10000032 p10000033")),
        *((STUDY, word) for word in ("p50414267", "files/p10/p10000032/", "50414267.5", ID)),
        *((IMAGE, word) for word in (ID[:-1], f"{ID}0", f"{BARE}0", FOLDER, f"{FOLDER}.txt")),
        *((IMAGE, word) for word in (f"{ID}/x", f"{ID} {OTHER}", "g" * 40)),
    ],
)
def test_words_for_nothing(form: Form, word: str) -> None:
    assert form.parse(word) is None


@pytest.mark.parametrize(
    ("form", "word", "other"),
    [
        (STUDY, "p10000032", SUBJECT),
        (IMAGE, f"{FOLDER}.txt", SUBJECT),
        (IMAGE, "s50414267", STUDY),
        (SUBJECT, ID, IMAGE),
        (STUDY, "files/p10/p10000032/", SUBJECT),
        (IMAGE, "50414267", None),  # it may be either
        (IMAGE, WORD, None),
    ],
)
def test_the_id_of_another_sort(form: Form, word: str, other: Form | None) -> None:
    assert other_form(word, form) is other


# ── lists ──────────────────────────────────────────────────────────────────────────────────────


def lines(*words: object) -> bytes:
    return "".join(f"{word}\n" for word in words).encode()


def table(delimiter: str, *rows: Iterable[object], quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    return text.getvalue().encode()


SPLIT = (
    ["dicom_id", "study_id", "subject_id", "split"],
    [ID, 50414267, 10000032, "train"],
    [OTHER, "57375967.0", "10000764.0", "validate"],
)
ENTRIES = [
    {"id": ID, "study_id": 50414267, "subject_id": 10000032, "report": WORD,
     "image_path": [f"p10/p10000032/s50414267/{ID}.jpg"], "split": "train"},
    {"id": OTHER, "study_id": 57375967, "subject_id": 10000764, "report": f"{WORD}\n", "split": ""},
]  # fmt: skip
PANDAS = {
    "subject_id": {"0": 10000032, "1": 10000764},
    "study_id": {"0": 50414267.0, "1": 57375967},
}


LISTS: list[tuple[str, bytes, Form, list[str]]] = [
    ("ids", lines(*SUBJECTS), SUBJECT, SUBJECTS),
    ("no last newline", lines(*SUBJECTS)[:-1], SUBJECT, SUBJECTS),
    ("bare, floats", lines("10000032", "10000764.0"), SUBJECT, SUBJECTS),
    ("each once, in order", lines("p10000764", "10000032", "P10000764"), SUBJECT, SUBJECTS[::-1]),
    ("CRLF", b"50414267\r\n\r\ns57375967\r\n", STUDY, STUDIES),
    ("CR", b"50414267\r\rs57375967\r", STUDY, STUDIES),
    ("blank lines", b"\n \n10000032\n\t\n10000764\n\n", SUBJECT, SUBJECTS),
    ("a header", lines("subject_id", *SUBJECTS), SUBJECT, SUBJECTS),
    ("any header", lines("My Patients", "10000032", "", "10000764"), SUBJECT, SUBJECTS),
    ("pandas' header", lines("0", ID, OTHER), IMAGE, [ID, OTHER]),
    ("remarks", b"# mine, 2024\n\n10000032  # first\n#10000033\n10000764\n", SUBJECT, SUBJECTS),
    ("remarks, header", b"#12345\nstudy\ns50414267\n# x\ns57375967", STUDY, STUDIES),
    ("quotes", lines('"p10000032"', "'10000764'"), SUBJECT, SUBJECTS),
    ("several a line", b"10000032, 10000764\n", SUBJECT, SUBJECTS),
    ("by blanks", b"s50414267 57375967\n", STUDY, STUDIES),
    ("by semicolons", b"10000032;10000764;\n", SUBJECT, SUBJECTS),
    ("paths", lines(f"{FOLDER}/{ID}.jpg", f"files/x/{OTHER}.dcm"), IMAGE, [ID, OTHER]),
    ("paths of all sorts", lines(f"{FOLDER}/{ID}.jpg", f"{SITE}/{FOLDER}.txt", FOLDER), STUDY,
     STUDIES[:1]),
    ("their subjects", lines(f"{FOLDER}/{ID}.jpg", FOLDER, "p10000764"), SUBJECT, SUBJECTS),
    ("sha256sum", lines(f"{'0' * 64}  {FOLDER}/{ID}.jpg"), IMAGE, [ID]),
    ("CSV, images", table(",", *SPLIT), IMAGE, [ID, OTHER]),
    ("CSV, studies", table(",", *SPLIT), STUDY, STUDIES),
    ("CSV, subjects", table(",", *SPLIT), SUBJECT, SUBJECTS),
    ("CSV, quoted", table(",", *SPLIT, quoting=csv.QUOTE_ALL), STUDY, STUDIES),
    ("TSV", table("\t", *SPLIT), SUBJECT, SUBJECTS),
    ("semicolons", table(";", *SPLIT), STUDY, STUDIES),
    ("remarks in CSV", b"# mine\n\nid,n\n#x\n" + f"{ID},1\n\n{OTHER},2\n".encode(), IMAGE,
     [ID, OTHER]),
    ("pandas' index", f",dicom_id\n0,{ID}\n1,{OTHER}\n".encode(), IMAGE, [ID, OTHER]),
    ("other names", b"Subject ID,Age\n10000032,7\n10000764,9\n", SUBJECT, SUBJECTS),
    ("other names", b"PatientID;Age\n10000032;7\n10000764;9\n", SUBJECT, SUBJECTS),
    ("empty cells", b"study_id,n\n50414267.0,1\n,2\n57375967.0,3\n", STUDY, STUDIES),
    ("a text of lines", f'study_id,text\n50414267,"{WORD},\n{WORD}"\n57375967,x\n'.encode(), STUDY,
     STUDIES),
    ("not UTF-8 beside it", b"study_id,text\n50414267,\xe9\n57375967,\xff\n", STUDY, STUDIES),
    ("a column of paths", f"n,path\n1,{FOLDER}/{ID}.jpg\n2,{FOLDER}/{OTHER}.jpg\n".encode(), IMAGE,
     [ID, OTHER]),
    ("its studies", f"path,split\n{FOLDER}/{ID}.jpg,train\n".encode(), STUDY, STUDIES[:1]),
    ("the column before the path", f"path,study_id\n{FOLDER}.txt,57375967\n".encode(), STUDY,
     STUDIES[1:]),
    ("JSON", json.dumps(STUDIES).encode(), STUDY, STUDIES),
    ("JSON numbers", b" [50414267, 57375967.0, null]", STUDY, STUDIES),
    ("JSON paths", json.dumps([f"{SITE}/{FOLDER}/{ID}.jpg"]).encode(), STUDY, STUDIES[:1]),
    ("JSON, one an object", json.dumps(ENTRIES).encode(), SUBJECT, SUBJECTS),
    ("annotation.json", json.dumps({"train": ENTRIES[:1], "val": ENTRIES[1:], "test": []}).encode(),
     IMAGE, [ID, OTHER]),
    ("its studies", json.dumps({"train": ENTRIES, "val": []}).encode(), STUDY, STUDIES),
    ("ids by split", json.dumps({"train": SUBJECTS[:1], "x": [10000764]}).encode(), SUBJECT,
     SUBJECTS),
    ("pandas' JSON", json.dumps(PANDAS).encode(), SUBJECT, SUBJECTS),
    ("pandas' JSON", json.dumps(PANDAS, indent=2).encode(), STUDY, STUDIES),
    ("JSON lines", b"\n".join(json.dumps(each).encode() for each in ENTRIES) + b"\n", STUDY,
     STUDIES),
    ("what ls prints", lines(json.dumps({"path": f"{FOLDER}/{ID}.jpg", "sha256": "0" * 64})),
     IMAGE, [ID]),
    ("other spellings", b'[{"SubjectID": "10000032"}, {"SubjectID": 10000764}]', SUBJECT, SUBJECTS),
    ("paths by object", json.dumps([{"image_path": [f"x/{ID}.jpg", f"x/{OTHER}.png"]}]).encode(),
     IMAGE, [ID, OTHER]),
]  # fmt: skip


STORED: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "BOM": lambda data: b"\xef\xbb\xbf" + data,
    "gzip": gzip.compress,
    "gzip BOM": lambda data: gzip.compress(b"\xef\xbb\xbf" + data),
    "UTF-16": lambda data: data.decode("utf-8", "replace").encode("utf-16"),
    "UTF-16-BE": lambda data: data.decode("utf-8", "replace").encode("utf-16-be"),
    "gzip UTF-16": lambda data: gzip.compress(data.decode("utf-8", "replace").encode("utf-16-le")),
}


@pytest.mark.parametrize(("data", "form", "ids"), [each[1:] for each in LISTS],
                         ids=[each[0] for each in LISTS])  # fmt: skip
def test_what_is_read(data: bytes, form: Form, ids: list[str]) -> None:
    for name, stored in STORED.items():
        for piece in (1 << 17, 1, 7):
            found = read(stored(data), form, piece)
            understood = (list(found.ids), found.not_understood, found.problem)
            assert understood == (ids, 0, ""), (name, piece)


ODD: list[tuple[str, bytes, Form, IdList]] = [
    ("nothing", b"", SUBJECT, IdList()),
    ("blanks", b" \n\r\n\t\n", SUBJECT, IdList()),
    ("remarks only", b"# 10000032\n", SUBJECT, IdList()),
    ("a header only", b"subject_id,split\n", SUBJECT, IdList()),
    ("an empty list", b"[]", SUBJECT, IdList(unit="entry")),
    ("one word", b"x\n", SUBJECT, IdList({}, 1, 1, [1])),
    ("a short id", lines("subject_id", "10000032", "", "1000003"), SUBJECT,
     IdList({"p10000032": None}, 2, 1, [4])),
    ("a short id first", lines("1000003", "10000032"), SUBJECT,
     IdList({"p10000032": None}, 2, 1, [1])),
    ("many", b"1234567\n" * 1_200, STUDY, IdList({}, 1_200, 1_200, [1, 2, 3, 4, 5])),
    ("a subject's", lines("50414267", "p10000032"), STUDY,
     IdList({"s50414267": None}, 2, 1, [2], others={"subject"})),
    ("a study's", lines(f"{FOLDER}.txt"), IMAGE, IdList({}, 1, 1, [1], others={"subject"})),
    ("a row of a table", b"10000032,50414267\n", SUBJECT, IdList({}, 1, 1, [1])),
    ("no name", f"{ID},50414267,train\n".encode(), IMAGE, IdList({}, 1, 1, [1])),
    ("a report", f"{WORD}\n12345 {WORD}, {WORD}\n".encode(), STUDY, IdList({}, 1, 1, [2])),
    ("another column", b"subject_id,study_id\n10000032,50414267\n", IMAGE,
     IdList(others={"subject", "study"},
            problem="its first line names no column dicom_id; it has subject_id and study_id")),
    ("another column alone", b"subject_id\n10000032\n", STUDY,
     IdList(others={"subject"},
            problem="its first line names no column study_id; it has subject_id")),
    ("no column", f"{WORD},{WORD}\n1,2\n".encode(), STUDY,
     IdList(problem="its first line names no column study_id")),
    ("a value", b"study_id,n\n50414267,1\n5041426,2\n57375967\n", STUDY,
     IdList(dict.fromkeys(STUDIES), 3, 1, [3])),
    ("a short row", b"n,study_id\n1,50414267\n57375967\n", STUDY,
     IdList(dict.fromkeys(STUDIES), 2, 0, [])),
    ("a short row of another", b"n,study_id\n1,50414267\nx\n", STUDY,
     IdList({"s50414267": None}, 2, 1, [3])),
    ("a quote", b'#\nstudy_id,n\n50414267,"' + WORD.encode() + b"\n1,1\n", STUDY,
     IdList(problem="line 4 is not valid CSV: a misplaced or unclosed quote, or more than 131,072 "
                    "characters")),
    ("damaged JSON", b'["50414267", ', STUDY,
     IdList(unit="entry", problem="its JSON is damaged, or is neither a list nor lists by split")),
    ("other JSON", b'{"train": {"a": {"b": []}}}', STUDY, IdList({}, 1, 1, [1], "entry")),
    ("an object without", b'[{"study_id": 50414267}, {"n": 1}, {"study_id": "x"}]', STUDY,
     IdList({"s50414267": None}, 3, 2, [2, 3], "entry")),
    ("true", b'["50414267", true]', STUDY,
     IdList(unit="entry", problem="its JSON is damaged, or is neither a list nor lists by split")),
    ("Excel", b"PK\x03\x04...", STUDY,
     IdList(problem="it is a zip archive or an Excel workbook, not text")),
    ("Parquet", b"PAR1....", STUDY, IdList(problem="it is a Parquet file, not text")),
]  # fmt: skip


@pytest.mark.parametrize(("data", "form", "expected"), [each[1:] for each in ODD],
                         ids=[each[0] for each in ODD])  # fmt: skip
def test_what_is_said_of_the_rest(data: bytes, form: Form, expected: IdList) -> None:
    found = read(data, form)
    if expected.problem:
        found.ids, found.lines, found.not_understood, found.first = {}, 0, 0, []
    assert found == expected
    assert WORD not in repr(found)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (gzip.compress(lines(*STUDIES))[:-1], "cut off: its gzip stream does not end"),
        (gzip.compress(lines(*STUDIES))[:-8] + bytes(8), "damaged gzip"),
        (b"\xff\xfe5\x00\x00\xd8x\x00", "not valid UTF-16"),
    ],
)
def test_a_stream_that_cannot_be_read(data: bytes, what: str) -> None:
    with pytest.raises(UnreadableStream) as caught:
        read(data, STUDY)
    assert str(caught.value) == what


@many
@given(st.binary(max_size=300), st.sampled_from(FORMS), st.sampled_from([1, 3, 1 << 17]))
def test_no_bytes_make_it_raise_anything_else(data: bytes, form: Form, piece: int) -> None:
    try:
        found = read(data, form, piece)
    except UnreadableStream:
        return
    assert all(form.parse(each) == each for each in found.ids)


noise = st.sampled_from([*'"\r\n,;\t #[{}]:', "study_id", "50414267", "s57375967.txt", ID, "\0é"])


@many
@given(st.lists(noise, max_size=12).map("".join), st.sampled_from(FORMS))
def test_pieces_change_nothing(text: str, form: Form) -> None:
    data = ("#\n" + text.replace("\r", "")).encode()
    assert read(data, form, 1) == read(data, form)


@many
@given(st.lists(st.integers(0, 99_999_999), min_size=1, max_size=5), st.booleans())
def test_ids_as_numbers(numbers: list[int], prefix: bool) -> None:
    words = [f"{'p' * prefix}{number:08}" for number in numbers]
    assert list(read(lines(*words), SUBJECT).ids) == list(
        dict.fromkeys(f"p{number:08}" for number in numbers)
    )
