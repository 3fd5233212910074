"""The first rows of a table: aligned for people, CSV and JSON for programs. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from cxrsync.manifest.table_head import TableHead
from cxrsync.sanitize import printable
from cxrsync.ui.table import as_table

_GAP = 2


def as_aligned(head: TableHead, width: int) -> list[str]:
    """Return the table as lines of at most ``width`` characters, if a single column fits.

    Columns that do not fit beside the first ones follow below, after an empty line.
    """
    lines: list[str] = []
    rows = [tuple(map(printable, row)) for row in (head.columns, *head.rows)]
    for start, stop in _blocks(rows, width):
        block = [row[start:stop] for row in rows]
        lines += [""] if lines else []
        lines += as_table(block, left=stop - start).split("\n")
    return lines


def _blocks(rows: Sequence[Sequence[str]], width: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of columns that fit beside each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    start, used = 0, 0
    for number, each in enumerate(widths):
        if number > start and used + _GAP + each > width:
            yield start, number
            start, used = number, each
        else:
            used += each + (_GAP if number > start else 0)
    if widths:
        yield start, len(widths)


def as_csv(head: TableHead) -> str:
    """Return header and rows as CSV, each line ended by a newline."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows((head.columns, *head.rows))
    return text.getvalue()
