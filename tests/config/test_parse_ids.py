"""Ids as values of options: words, files, standard input, and what messages say of them."""

import gzip
import io
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import IS_THOROUGH, examples

from cxrsync.config.id_forms import FORMS, IMAGE, STUDY, SUBJECT, Form
from cxrsync.config.parse_ids import parse_ids
from cxrsync.errors import ExitCode, UsageError

many = settings(max_examples=examples(200))

ID = "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"
WORD = "consolidation"


def refusal(form: Form, *values: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse_ids(values, form)
    assert caught.value.exit_code is ExitCode.USAGE
    return f"{caught.value} {caught.value.next_step}"


def test_words_and_files_together(tmp_path: Path) -> None:
    (tmp_path / "ids").write_bytes(b"\xef\xbb\xbf10000032\r\n\r\nP10000033\r\n")
    (tmp_path / "more.csv.gz").write_bytes(gzip.compress(b"subject_id,n\n10000031,1\n", mtime=0))
    values = ["p19999999,10000033", f"@{tmp_path}/ids", f"@{tmp_path}/more.csv.gz"]
    assert parse_ids(values, SUBJECT) == ("p10000031", "p10000032", "p10000033", "p19999999")


@pytest.mark.parametrize(
    ("form", "word", "said"),
    [
        (SUBJECT, "x", "--subject 'x' is not the id of a subject An id looks like p10000032"),
        (STUDY, "p10000032", "the id of a study It is the id of a subject: use --subject."),
        (SUBJECT, ID, "the id of a subject It is the id of an image: use --image."),
        (IMAGE, ID[:-1], "is not the id of an image An id looks like 02aa"),
        (IMAGE, "ids.csv", "It is a file: write --image @ids.csv to read the ids in it."),
    ],
)
def test_words_that_are_refused(
    form: Form, word: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ids.csv").touch()
    assert said in refusal(form, word)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file contains no id"),
        (b" \n\n", "the file contains no id"),
        (b"subject_id\n10000032\n\n1000003\n",
         "1 of 2 lines is not the id of a subject: line 4 One id a line (p10000032 or 10000032), "),
        (b"1\n22222\n333333\n", "2 of 2 lines are not the id of a subject: lines 2, 3 One id"),
        (b"12345\n" * 1_200, "1,200 of 1,200 lines are not the id of a subject: lines 1, 2, 3, "),
        (b"12345\n" * 1_200, "lines 1, 2, 3, 4, 5 and 1,195 more One id a line"),
        (f"s50414267,{ID}\n".encode() * 2, "lines 1, 2 One id"),
        (f"{ID}\n".encode() * 2, "lines 1, 2 Did you mean --image @"),
        (f"{WORD}\n{WORD}\n12345 {WORD}\n".encode(), "2 of 2 lines are not the id"),
        (f"{WORD},study_id\n50414267,1\n".encode(),
         "its first line names no column subject_id; it has study_id Did you mean --study @"),
        (f'["{WORD}", "10000032"]'.encode(), "1 of 2 entries is not the id of a subject: entry 1"),
        (f'["{WORD}", "10000032"'.encode(), "its JSON is damaged, or is neither a list nor lists"),
        (b"10000032\n\xff\xfe\n", "1 of 2 lines is not the id of a subject: line 2"),
        (b"\x1f\x8bx", "the file is cut off: its gzip stream does not end"),
        (b"PK\x03\x04" + b"x" * 99, "it is a zip archive or an Excel workbook, not text"),
        (b"x" * 99_999, "1 of 1 line is not the id of a subject: line 1"),
        (None, "cannot be read: No such file or directory"),
    ],
    ids=range(17),
)  # fmt: skip
def test_files_that_are_refused(tmp_path: Path, data: bytes | None, said: str) -> None:
    file = tmp_path / "ids"
    if data is not None:
        file.write_bytes(data)
    text = refusal(SUBJECT, "p10000032", f"@{file}")
    assert f"--subject @{file}: " in text
    assert said in text
    assert WORD not in text
    assert len(text) < 500


def test_invalid_names_of_files() -> None:
    assert "cannot be read: Is a directory" in refusal(STUDY, "@/tmp")
    assert "cannot be read" in refusal(STUDY, "@")
    assert "cannot be read" in refusal(STUDY, "@~nobody-of-that-name/ids")
    assert "cannot be the name of a file" in refusal(STUDY, "@a\0b")


@pytest.mark.parametrize(
    "data",
    [
        b"50414267\ns50414268\n",
        b"\xef\xbb\xbfstudy_id,n\r\n50414268,1\r\n50414267.0,2\r\n",
        "study_id\n50414267\n50414268".encode("utf-16"),
        gzip.compress(b"[50414267, 50414268]", mtime=0),
    ],
)
def test_standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="ascii"))
    assert parse_ids(["@-"], STUDY) == ("s50414267", "s50414268")
    # Standard input can be read only once.
    assert "--study @-: the file contains no id" in refusal(STUDY, "@-")


def test_odd_standard_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("50414267\n"))  # as notebooks have it
    assert parse_ids(["@-"], STUDY) == ("s50414267",)
    monkeypatch.setattr("sys.stdin", None)
    assert "--study @-: standard input is closed" in refusal(STUDY, "@-")


def test_a_pipe(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    try:
        os.write(writer, b"50414267\n")
        os.close(writer)
        assert parse_ids([f"@/dev/fd/{reader}"], STUDY) == ("s50414267",)
    finally:
        os.close(reader)


@many
@given(st.lists(st.text(max_size=50), max_size=3), st.sampled_from(FORMS))
def test_no_text_makes_it_raise_anything_else(values: list[str], form: Form) -> None:
    values = [value for value in values if not value.startswith("@")]
    try:
        found = parse_ids(values, form)
    except UsageError:
        return
    assert list(found) == sorted(set(found))
    assert all(form.parse(each) == each for each in found)


LARGE = 377_110 if IS_THOROUGH else 100_000


@pytest.mark.parametrize(
    ("form", "head", "line"),
    [
        (IMAGE, "", "{0:08x}-bde0afdd-112c0b34-7bc16630-4e384014\n"),
        (IMAGE, "", "files/p10/s50414267/{0:08x}-bde0afdd-112c0b34-7bc16630-4e384014.jpg\n"),
        (STUDY, "dicom_id,study_id,split\n", "{0:08x}-bde0afdd-112c0b34-7bc16630,{0}.0,train\n"),
    ],
)  # fmt: skip
def test_as_many_ids_as_there_are_images(tmp_path: Path, form: Form, head: str, line: str) -> None:
    numbers: Any = range(50_000_000, 50_000_000 + LARGE)
    file = tmp_path / "ids"
    file.write_text(head + "".join(map(line.format, numbers)))
    before = time.process_time()
    found = parse_ids([f"@{file}"], form)
    assert time.process_time() - before < LARGE / 100_000  # a sixth of it on a quiet machine
    assert len(found) == LARGE
