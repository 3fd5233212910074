"""Reads columns of a CSV or TSV table as a stream: the dataset's tables or a user's.

Columns are found by name, not by position. A table is never trusted: anything odd in it raises
:class:`InvalidTable`, and never gives a shorter table. The message names lines and columns, but
shows no value: people paste messages into public issues.
"""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from operator import itemgetter
from typing import BinaryIO

from cxrsync.catalog.dataset_info import suggest
from cxrsync.errors import CxrsyncError, ExitCode
from cxrsync.sanitize import reason_of
from cxrsync.utf8_stream import UnreadableStream, utf8_pieces

# The limit for a row, give or take a piece: an unclosed quote must not fill the memory.
MAX_ROW_BYTES = 1 << 20
# How many columns an error message considers, and how many characters it shows of them.
_MAX_NAMED = 100
_MAX_SHOWN = 400
# A subject, study or image, or a number: such a "column" means that the header is missing.
_VALUE = re.compile(r"[ps]?[0-9]+|[0-9a-f]{8}(?:-[0-9a-f]{8}){4}")

_LABELS = {
    "1.0": "1",
    "1": "1",
    "0.0": "0",
    "0": "0",
    "-1.0": "-1",
    "-1": "-1",
    "": "blank",
}


class InvalidTable(CxrsyncError):
    """A table cannot be read to its end, or is not what it should be. ``table``: its name."""

    exit_code = ExitCode.USAGE

    def __init__(self, table: str, what: str) -> None:
        super().__init__(
            f"{table}: {what}",
            next_step=f"If {table} is your own file, correct it. If it came with the dataset, its "
            f"digest is the published one, so the published file itself is faulty: report it to "
            f"PhysioNet, and leave out the options that need it.",
        )
        self.table = table


def read_rows(stream: BinaryIO, name: str, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the values of ``columns``, in that order, for each row. Blank lines are not rows.

    ``name`` is for messages. Gzip and UTF-16 are recognized by the first bytes, tabs and semicolons
    between the columns by the header. The stream is read from its
    current position and stays open. Raises InvalidTable during the iteration, possibly after the
    last row (a gzip stream that is cut off): do not use the rows before the end is reached.
    """
    rows = _rows(stream, name, columns)
    header = _header(rows, name)
    pick = _picker([_position(column, header, name) for column in columns])
    first = next(rows, None)
    if first is None:
        raise InvalidTable(name, "has a header, but no rows")
    yield pick(first)
    yield from map(pick, rows)


def read_all_columns(stream: BinaryIO, name: str) -> Iterator[list[str]]:
    """Yield the header and then the rows, with all columns. Raises what :func:`read_rows` does."""
    return _rows(stream, name)


def column_names(stream: BinaryIO, name: str) -> list[str]:
    """Return the column names in the header, without blanks around them. Raises InvalidTable."""
    return _header(_rows(stream, name), name)


def label_value(text: str) -> str | None:
    """Return 1, 0, -1 or blank for a label as chexpert and negbio write it; None for other text."""
    return _LABELS.get(text)


# ── the header ─────────────────────────────────────────────────────────────────────────────────


def _header(rows: Iterator[list[str]], name: str) -> list[str]:
    header = next(rows, None)
    if header is None:
        raise InvalidTable(name, "is empty")
    return [column.strip() for column in header]


def _position(column: str, header: list[str], name: str) -> int:
    count = header.count(column)
    if count == 1:
        return header.index(column)
    if count > 1:
        raise InvalidTable(name, f"has {count} columns named {column}")
    known = [each for each in header[:_MAX_NAMED] if each and each.isprintable()]
    if any(_VALUE.fullmatch(each) for each in known):
        raise InvalidTable(
            name, f"has no column {column}: its first line holds values, not column names"
        )
    shown = textwrap.shorten(suggest(column, known), _MAX_SHOWN, placeholder=" …")
    raise InvalidTable(name, f"has no column {column}; it has {shown or 'none with a name'}")


def _picker(positions: list[int]) -> Callable[[list[str]], tuple[str, ...]]:
    if len(positions) > 1:
        return itemgetter(*positions)
    # With one position itemgetter does not make a tuple.
    return lambda row: tuple(row[position] for position in positions)


# ── bytes → lines → rows ───────────────────────────────────────────────────────────────────────


def _delimiter(header: str, columns: Sequence[str]) -> str:
    """Return what separates the columns: a comma, unless the wanted ones show another."""
    for delimiter in "\t;" if columns else "":
        names = [each.strip().strip('"') for each in header.split(delimiter)]
        if len(names) > 1 and all(names) and all(column in names for column in columns):
            return delimiter
    return ","


def _rows(stream: BinaryIO, name: str, columns: Sequence[str] = ()) -> Iterator[list[str]]:
    """Yield the header and the rows. Every row has as many fields as the header."""
    lines = _Lines(stream, name)
    split = chain.from_iterable(io.StringIO(text, newline="") for text in lines)
    blanks, head = 0, ""
    for line in split:
        lines.open_bytes = 0
        if line.strip("\r\n"):
            head = line
            break
        blanks += 1
    # Strict: otherwise an unclosed quote would silently swallow the rows after it.
    reader = csv.reader(
        chain(repeat("\n", blanks), [head], split),
        delimiter=_delimiter(head, columns),
        strict=True,
    )
    width = 0
    try:
        for row in reader:
            lines.open_bytes = 0
            if not row:
                continue
            if len(row) != width:
                if width:
                    what = f"not as many fields as the header has ({len(row)}, not {width})"
                    raise InvalidTable(name, f"line {reader.line_num}: {what}")
                width = len(row)
            yield row
    except csv.Error:
        raise InvalidTable(
            name,
            f"line {reader.line_num}: not valid CSV (a misplaced or unclosed quote, or a "
            f"field of more than {csv.field_size_limit():,} characters)",
        ) from None


class _Lines:
    """Yields texts of many whole lines, and counts the bytes read since the last row ended.

    The CSV reader sets ``open_bytes`` to 0 at the end of each row. So a row that is too long is
    rejected while it grows, whether it is one endless line or endless lines.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self._line = 1
        self.open_bytes = 0

    def __iter__(self) -> Iterator[str]:
        rest = b""
        for piece in self._pieces():
            self.open_bytes += len(piece)
            if self.open_bytes > MAX_ROW_BYTES:
                raise InvalidTable(
                    self._name,
                    f"about line {self._line}: a row of more than {MAX_ROW_BYTES:,} bytes",
                )
            end = piece.rfind(b"\n") + 1
            if end:
                yield self._decode(rest + piece[:end])
                rest = piece[end:]
            else:
                rest += piece
        if rest:
            yield self._decode(rest)

    def _pieces(self) -> Iterator[bytes]:
        try:
            yield from utf8_pieces(self._stream)
        except UnreadableStream as problem:
            raise InvalidTable(self._name, reason_of(problem)) from None

    def _decode(self, data: bytes) -> str:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as problem:
            raise self._odd("not UTF-8", data, problem.start) from None
        nul = data.find(b"\0")
        if nul >= 0:
            raise self._odd("a NUL character", data, nul)
        self._line += data.count(b"\n")
        return text

    def _odd(self, what: str, data: bytes, place: int) -> InvalidTable:
        line = self._line + data.count(b"\n", 0, place)
        return InvalidTable(self._name, f"line {line}: {what}")
