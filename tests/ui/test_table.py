"""Tables of text."""

import pytest

from cxrsync.ui.table import as_table

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
