"""The first rows of a table on a terminal of any width, and as CSV."""

import csv
import io

import pytest

from cxrsync.manifest.table_head import TableHead
from cxrsync.ui.table_head_text import as_aligned, as_csv

HEAD = TableHead(
    ("id", "view", "text"), (("1", "PA", 'a "b", c'), ("22", "", "x"), ("3", "AP\x1b[2J", "y"))
)


@pytest.mark.parametrize("width", range(1, 60))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = as_aligned(HEAD, width)
    widest = max(len(cell) for row in (HEAD.columns, *HEAD.rows) for cell in row) + 3  # escaped
    assert all(len(line) <= max(width, widest) for line in lines)
    # Each block has all rows, and each column is in one block.
    blocks = [lines[at : at + 4] for at in range(0, len(lines), 5)]
    assert len(lines) == 5 * len(blocks) - 1
    assert " ".join(block[0] for block in blocks).split() == ["id", "view", "text"]
    assert all(lines[at] == "" for at in range(4, len(lines), 5))


def test_a_wide_terminal() -> None:
    assert as_aligned(HEAD, 80) == [
        "id  view       text",
        '1   PA         a "b", c',
        "22             x",
        "3   AP\\x1b[2J  y",
    ]


def test_only_columns() -> None:
    assert as_aligned(TableHead(("a", "b"), ()), 80) == ["a  b"]


def test_csv() -> None:
    text = as_csv(HEAD)
    assert text.startswith('id,view,text\n1,PA,"a ""b"", c"\n')
    assert [tuple(row) for row in csv.reader(io.StringIO(text))] == [HEAD.columns, *HEAD.rows]
