"""Read the columns and first rows of a table from its first bytes. Pure.

A gzip stream that is cut off is read as far as it goes, and the half row at its end is dropped.
Free text is not shown: a table may hold the reports of patients.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from cxrsync.manifest.csv_reader import InvalidTable, read_all_columns

# A row of the largest real table has about 250 bytes.
_MAX_UNPACKED = 8 << 20
_GZIP = b"\x1f\x8b"
_GZIP_ONLY = 16 + zlib.MAX_WBITS
# Columns with a person's words, in PhysioNet's tables and in those that users make of reports.
_TEXT_COLUMNS = frozenset(
    {
        *("text", "note", "notes", "note_text", "report", "report_text", "narrative"),
        *("findings", "impression", "comparison", "indication", "history", "last_paragraph"),
    }
)
_MAX_SHOWN = 200


@dataclass(frozen=True, slots=True)
class TableHead:
    """The columns and first rows of a table.

    ``hidden``: the columns in which free text was replaced by its length. ``ends``: the table has
    no other rows. ``is_cut``: the bytes ended before there were as many rows as asked for.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    hidden: tuple[str, ...] = ()
    ends: bool = False
    is_cut: bool = False


def read_table_head(data: bytes, name: str, most_rows: int, *, whole: bool) -> TableHead:
    """Return the first rows of the table that begins with ``data``, gzip or plain.

    ``whole``: these are all its bytes. Raises InvalidTable.
    """
    unpacked, whole = _unpacked(data, name, whole=whole)
    stream = io.BytesIO(unpacked) if whole else _CutOff(unpacked)
    rows = read_all_columns(stream, name)
    found: list[list[str]] = []
    is_cut = ends = False
    try:
        for row in islice(rows, most_rows + 1):
            found.append(row)  # noqa: PERF402 - the rows before an error are kept
        ends = len(found) <= most_rows or _is_at_end(rows)
    except _BytesEnd:
        is_cut = len(found) <= most_rows
    if not found:
        raise InvalidTable(name, "is empty" if whole else "its first line is too long to be read")
    columns = tuple(column.strip() for column in found[0])
    shown, hidden = _without_free_text(columns, found[1:])
    return TableHead(columns, shown, hidden, ends=ends, is_cut=is_cut)


def _is_at_end(rows: Iterator[list[str]]) -> bool:
    try:
        return next(rows, None) is None
    except InvalidTable:  # in a row that nobody has asked for
        return False


class _BytesEnd(Exception):
    """The bytes at hand were read to their end, which is not the end of the table."""


class _CutOff(io.BytesIO):
    """The first bytes of a stream. Its end is an error, so that no half row is taken for a row."""

    def read(self, size: int | None = -1, /) -> bytes:
        if data := super().read(size):
            return data
        raise _BytesEnd


def _unpacked(data: bytes, name: str, *, whole: bool) -> tuple[bytes, bool]:
    """Return the text of ``data`` as far as it goes, and whether it is all of it."""
    if not data.startswith(_GZIP):
        return data, whole
    text = bytearray()
    while data.startswith(_GZIP):  # a file may have several members
        member = zlib.decompressobj(_GZIP_ONLY)
        try:
            text += member.decompress(data, _MAX_UNPACKED - len(text))
        except zlib.error:
            raise InvalidTable(name, "damaged gzip") from None
        if not member.eof or len(text) >= _MAX_UNPACKED:
            if whole and not member.unconsumed_tail and len(text) < _MAX_UNPACKED:
                raise InvalidTable(name, "cut off: its gzip stream does not end")
            return bytes(text), False
        data = member.unused_data
    return bytes(text), whole


def _without_free_text(
    columns: tuple[str, ...], rows: list[list[str]]
) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Return the rows with the length in place of each free text, and the columns with such."""
    hidden: dict[str, None] = {}
    shown = []
    for row in rows:
        cells = []
        for column, cell in zip(columns, row, strict=True):
            is_hidden = bool(cell) and _is_free_text(column, cell)
            cells.append(f"<{len(cell):,} characters>" if is_hidden else cell)
            if is_hidden:
                hidden[column] = None
        shown.append(tuple(cells))
    return tuple(shown), tuple(hidden)


def _is_free_text(column: str, cell: str) -> bool:
    is_named = column.casefold().replace(" ", "_") in _TEXT_COLUMNS
    return is_named or len(cell) > _MAX_SHOWN or "\n" in cell or "\r" in cell
