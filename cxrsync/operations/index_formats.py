"""The rows of an index as CSV, JSON lines or Parquet."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from io import BytesIO
from itertools import islice
from typing import IO, Any

import msgspec

from cxrsync.errors import UsageError
from cxrsync.model import is_time
from cxrsync.operations.index import Row, Value
from cxrsync.plan.image_index import Column, ColumnType

# Rows in memory at a time.
_ROW_GROUP = 3072
# Of one type of columns.
_MOST_REMEMBERED = 4096


def as_csv(columns: Sequence[Column], rows: Iterable[Row]) -> Iterator[str]:
    """Yield the header and the rows as lines of CSV, without newlines.

    Values of tables are as in the table. A time is in ISO 8601, in UTC.
    """
    yield csv_line([column.name for column in columns])
    times = [at for at, column in enumerate(columns) if column.type is ColumnType.TIME]
    for row in rows:
        values: Sequence[object] = row
        for at in times:
            if row[at] is not None:
                values = [*values[:at], iso_time(row[at]), *values[at + 1 :]]
        yield csv_line(values)


class _Line:
    """A file that gives back what is written, which ``writerow`` then returns."""

    def write(self, text: str) -> str:
        return text


csv_line: Callable[[Iterable[object]], str] = csv.writer(_Line(), lineterminator="").writerow
"""Returns a row as a line of CSV, without a newline."""


def as_json_lines(columns: Sequence[Column], rows: Iterable[Row]) -> Iterator[str]:
    """Yield the rows as JSON objects, without newlines. What is not known is null; numbers are
    numbers."""
    # An encoder of whole rows takes twice as long: most values are labels, of which few differ.
    names = (_json(column.name).decode().replace("%", "%%") for column in columns)
    line = "{" + ",".join(f"{name}:%b" for name in names) + "}"
    template = line.encode()
    converters = [_JSON_CONVERTERS[column.type] for column in columns]
    for row in rows:
        values = [to(value) for to, value in zip(converters, row, strict=True)]
        yield (template % tuple(values)).decode()


def as_values(columns: Sequence[Column], row: Row) -> tuple[Value, ...]:
    """Return a row with numbers as numbers, times in ISO 8601, and None for what is not known."""
    return tuple(
        _CONVERTERS[column.type](value) for column, value in zip(columns, row, strict=True)
    )


def write_parquet(columns: Sequence[Column], rows: Iterable[Row], file: IO[bytes]) -> None:
    """Write the rows as Parquet.

    Raises: UsageError if pyarrow is not installed, or if a column of numbers holds text; OSError.
    """
    pa, pa_csv, parquet = import_pyarrow()
    types = {
        ColumnType.TEXT: pa.string(),
        ColumnType.WHOLE: pa.int64(),
        ColumnType.NUMBER: pa.float32(),
        ColumnType.TIME: pa.timestamp("ms", tz="UTC"),
    }
    schema = pa.schema([(column.name, types[column.type]) for column in columns])
    # pyarrow reads the lines: arrays of Python values would take longer, and import pandas.
    converting = pa_csv.ConvertOptions(
        column_types=schema,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
    )
    reading = pa_csv.ReadOptions(use_threads=False, column_names=schema.names)
    lines = as_csv(columns, rows)
    next(lines)
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while part := list(islice(lines, _ROW_GROUP)):
            text = BytesIO(("\n".join(part) + "\n").encode())
            try:
                table = pa_csv.read_csv(text, reading, convert_options=converting)
            except pa.ArrowInvalid:
                raise UsageError(
                    "a table holds text in a column where numbers are expected",
                    next_step="Parquet has one type for each column: write CSV instead.",
                ) from None
            writer.write_table(table)


def import_pyarrow() -> tuple[Any, Any, Any]:
    """Return pyarrow with its modules for CSV and Parquet. Importing them takes 45 MB.

    Raises: UsageError if it is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.csv as pa_csv
        import pyarrow.parquet as parquet
    except ImportError:
        raise UsageError(
            "Parquet needs pyarrow, which is not installed",
            next_step="pip install 'cxrsync[parquet]', or name a file that ends in .csv or .jsonl.",
        ) from None
    return pa, pa_csv, parquet


# ── values ─────────────────────────────────────────────────────────────────────────────────────


@lru_cache(64)  # many files are proven at one time
def iso_time(value: Value) -> str | None:
    """Return a POSIX time in ISO 8601, in UTC, to the second; None for no time."""
    if not isinstance(value, int | float) or not is_time(value):
        return None
    return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_json = msgspec.json.Encoder().encode


def _text(value: Value) -> Value:
    return None if value == "" else value


def _whole(value: Value) -> Value:
    if not isinstance(value, str):
        return value
    return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else _text(value)


class _Numbers(dict[Value, Value]):
    """Number of each text in a table; a text that is no number stays as it is."""

    def __missing__(self, text: Value) -> Value:
        try:
            return float(text)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return _text(text)


_NUMBERS = _Numbers({"": None, "1.0": 1.0, "0.0": 0.0, "-1.0": -1.0})
_CONVERTERS: dict[ColumnType, Callable[[Value], Value]] = {
    ColumnType.TEXT: _text,
    ColumnType.WHOLE: _whole,
    ColumnType.NUMBER: _NUMBERS.__getitem__,
    ColumnType.TIME: iso_time,
}


class _JsonValues(dict[Value, bytes]):
    """JSON of each value of a column with few different ones."""

    def __init__(self, to: Callable[[Value], Value]) -> None:
        super().__init__()
        self._to = to

    def __missing__(self, value: Value) -> bytes:
        found = _json(self._to(value))
        if len(self) < _MOST_REMEMBERED:
            self[value] = found
        return found


def _json_text(value: Value) -> bytes:
    return b"null" if value == "" else _json(value)


def _json_whole(value: Value) -> bytes:
    return _json(_whole(value))


_JSON_CONVERTERS: dict[ColumnType, Callable[[Value], bytes]] = {
    ColumnType.TEXT: _json_text,
    ColumnType.WHOLE: _json_whole,
    ColumnType.NUMBER: _JsonValues(_NUMBERS.__getitem__).__getitem__,
    ColumnType.TIME: _JsonValues(iso_time).__getitem__,
}
