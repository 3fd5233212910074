"""Tables of text."""

import pytest

from cxrsync.ui.table import as_fitting_table, as_table

ROWS = [("shard", "files"), ("p10", "1,234"), ("root", "5")]


@pytest.mark.parametrize(
    ("left", "lines"),
    [
        (0, ["shard  files", "  p10  1,234", " root      5"]),
        (1, ["shard  files", "p10    1,234", "root       5"]),
        (2, ["shard  files", "p10    1,234", "root   5"]),
    ],
)
def test_the_first_columns_are_aligned_left_and_the_others_right(
    left: int, lines: list[str]
) -> None:
    assert as_table(ROWS, left=left).split("\n") == lines


def test_an_empty_cell_keeps_its_column() -> None:
    rows = [("", "kind", "files"), ("p10", "images", "7"), ("all", "", "7")]
    assert as_table(rows, left=2).split("\n") == [
        "     kind    files",
        "p10  images      7",
        "all              7",
    ]


def test_no_blanks_at_the_end_of_a_line() -> None:
    assert as_table([("a", ""), ("long", "")], left=2) == "a\nlong"


@pytest.mark.parametrize(("rows", "text"), [([], ""), ([("one",)], "one"), ([("é", "ß")], "é  ß")])
def test_small_tables(rows: list[tuple[str, ...]], text: str) -> None:
    assert as_table(rows) == text


def test_rows_of_different_lengths_raise() -> None:
    with pytest.raises(ValueError, match="argument"):
        as_table([("a", "b"), ("c",)])


WIDE = [
    ("", "verified", "unverified", "missing", "bytes"),
    ("p10", "1,234", "0", "7", "5 B"),
    ("total", "1,234", "0", "7", "5 B"),
]


@pytest.mark.parametrize(
    ("width", "first_lines", "lines"),
    [
        (0, ["       verified  unverified  missing  bytes"], 3),
        (43, ["       verified  unverified  missing  bytes"], 3),
        (42, ["       verified  missing  bytes"], 3),  # zeros say nothing
        (30, ["       verified  missing", "       bytes"], 7),
        (10, ["       verified", "       missing", "       bytes"], 11),
    ],
)
def test_what_is_too_wide_for_a_terminal(width: int, first_lines: list[str], lines: int) -> None:
    text = as_fitting_table(WIDE, width)
    assert [block.split("\n")[0] for block in text.split("\n\n")] == first_lines
    assert len(text.split("\n")) == lines
    assert all(block.split("\n")[1].startswith("p10  ") for block in text.split("\n\n"))


def test_words_stay_at_the_left_of_a_column_that_follows_below() -> None:
    rows = [("dataset", "option", "here"), ("mimic-cxr", "--dicom", "a"), ("mimiciv", "-", "/data")]
    assert as_fitting_table(rows, 18, left=3, repeated=1).split("\n") == [
        "dataset    option", "mimic-cxr  --dicom", "mimiciv    -", "",
        "dataset    here", "mimic-cxr  a", "mimiciv    /data",
    ]  # fmt: skip
