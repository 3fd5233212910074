"""The dataset's tables, and a user's own: CSV in, plain or gzip; chosen columns out, as a stream.

Columns go by name, never by place. Nothing here believes a table: whatever is odd about it is a
:class:`InvalidTable`, and never a shorter table. Its message names lines and columns and shows no
value, for messages get pasted into public issues.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import textwrap
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import BinaryIO

from cxrsync.catalog.dataset_info import suggest
from cxrsync.errors import CxrsyncError, ExitCode

# What a table may come to, in bytes as expanded. The largest real one has about 50 MB.
MAX_BYTES = 4 << 30
# One row, give or take a piece: a quote that is never closed must not fill the memory.
MAX_ROW_BYTES = 1 << 20
# Past the first bytes, no table packs as well as this; gzip itself ends at about 1,030.
BOMB_FROM_BYTES = 64 << 20
BOMB_RATIO = 1000

_PIECE = 128 << 10
_GZIP = b"\x1f\x8b"
# Columns that an error message looks at and the characters it spends on them.
_MAX_NAMED = 100
_MAX_SHOWN = 400
# Subject, study or image, or a number: such a "column" is a first row that lacks its header.
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
    """A table that cannot be read to its end as what it should be. ``table`` is its name."""

    exit_code = ExitCode.USAGE

    def __init__(self, table: str, what: str) -> None:
        super().__init__(
            f"{table}: {what}",
            next_step=f"If {table} is a file of your own, mend it. If it came with the dataset, "
            f"it was checked against the manifest, so the published file itself is odd: tell "
            f"PhysioNet its name, and leave out what needs it.",
        )
        self.table = table


def read_rows(stream: BinaryIO, name: str, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The values of ``columns``, in that order, of each row in turn; blank lines are no rows.

    ``name`` is for messages; gzip is told by its first bytes. The stream is read from where it
    stands and stays open. Raises InvalidTable while it is iterated, maybe only behind the last row
    (a cut gzip): what was yielded is not to be acted on before the end is reached.
    """
    rows = _rows(stream, name)
    header = _header(rows, name)
    pick = _picker([_place(column, header, name) for column in columns])
    first = next(rows, None)
    if first is None:
        raise InvalidTable(name, "has a header and not one row")
    yield pick(first)
    yield from map(pick, rows)


def column_names(stream: BinaryIO, name: str) -> list[str]:
    """The columns that the header names, without blanks around them. Raises InvalidTable."""
    return _header(_rows(stream, name), name)


def label_value(text: str) -> str | None:
    """A label as chexpert and negbio write it → 1, 0, -1 or blank; None if it is no label."""
    return _LABELS.get(text)


# ── the header ─────────────────────────────────────────────────────────────────────────────────


def _header(rows: Iterator[list[str]], name: str) -> list[str]:
    header = next(rows, None)
    if header is None:
        raise InvalidTable(name, "is empty")
    return [column.strip() for column in header]


def _place(column: str, header: list[str], name: str) -> int:
    count = header.count(column)
    if count == 1:
        return header.index(column)
    if count > 1:
        raise InvalidTable(name, f"has {count} columns named {column}")
    known = [there for there in header[:_MAX_NAMED] if there and there.isprintable()]
    if any(_VALUE.fullmatch(there) for there in known):
        raise InvalidTable(
            name, f"has no column {column}: its first line holds values, no column names"
        )
    shown = textwrap.shorten(suggest(column, known), _MAX_SHOWN, placeholder=" …")
    raise InvalidTable(name, f"has no column {column}; it has {shown or 'none with a name'}")


def _picker(places: list[int]) -> Callable[[list[str]], tuple[str, ...]]:
    if len(places) > 1:
        return itemgetter(*places)
    # Of a single place itemgetter makes no tuple.
    return lambda row: tuple(row[place] for place in places)


# ── bytes → lines → rows ───────────────────────────────────────────────────────────────────────


def _rows(stream: BinaryIO, name: str) -> Iterator[list[str]]:
    """The header and the rows, each with as many fields as the header."""
    lines = _Lines(stream, name)
    # Strict, or a quote that is never closed would swallow the rows behind it without a word.
    split = chain.from_iterable(io.StringIO(text, newline="") for text in lines)
    reader = csv.reader(split, strict=True)
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
            f"line {reader.line_num}: no proper CSV (a quote out of place or never closed, or a "
            f"field of more than {csv.field_size_limit():,} characters)",
        ) from None


class _Lines:
    """Whole lines as texts of many, and the bytes taken since whoever reads them ended a row.

    The reader sets ``open_bytes`` to 0 at each row's end. So a row is refused while it grows, be it
    one line without an end or lines without end.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self._line = 1
        self.open_bytes = 0

    def __iter__(self) -> Iterator[str]:
        rest = b""
        for piece in _pieces(self._stream, self._name):
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

    def _decode(self, data: bytes) -> str:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as problem:
            raise self._odd("not UTF-8", data, problem.start) from None
        nul = data.find(b"\0")
        if nul >= 0:
            raise self._odd("a NUL character", data, nul)
        if self._line == 1:
            text = text.removeprefix("\ufeff")
        self._line += data.count(b"\n")
        return text

    def _odd(self, what: str, data: bytes, place: int) -> InvalidTable:
        line = self._line + data.count(b"\n", 0, place)
        return InvalidTable(self._name, f"line {line}: {what}")


# ── gzip or not ────────────────────────────────────────────────────────────────────────────────


def _pieces(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """The table's bytes, expanded, in pieces of at most _PIECE."""
    source = _Counted(stream)
    total = 0
    for piece in _expanded(source, name) if source.is_gzip else iter(source.piece, b""):
        total += len(piece)
        if total > MAX_BYTES:
            raise InvalidTable(name, f"more than {MAX_BYTES:,} bytes")
        if total > BOMB_FROM_BYTES and total > BOMB_RATIO * source.taken:
            raise InvalidTable(name, f"expands to more than {BOMB_RATIO:,} times its size")
        yield piece


def _expanded(source: _Counted, name: str) -> Iterator[bytes]:
    unpacked = gzip.GzipFile(fileobj=source)
    try:
        while piece := unpacked.read1(_PIECE):
            yield piece
    except EOFError:
        raise InvalidTable(name, "cut off: its gzip stream does not end") from None
    except (gzip.BadGzipFile, zlib.error):
        raise InvalidTable(name, "damaged gzip") from None


class _Counted(io.BufferedIOBase):
    """A stream that tells its kind by its first bytes and counts what was taken from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._head = stream.read(len(_GZIP))
        if len(self._head) == 1:  # an unbuffered stream may give less than it was asked for
            self._head += stream.read(1)
        self.is_gzip = self._head == _GZIP
        self.taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._head or self._stream.read(-1 if size is None else size)
        self._head = b""
        self.taken += len(data)
        return data

    def piece(self) -> bytes:
        """The next bytes, as many as make a piece."""
        return self.read(_PIECE)
