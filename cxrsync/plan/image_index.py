"""Join the selected images with the rows of the tables that describe them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol

from cxrsync.manifest.path_ids import ImageIds, parse_image_path
from cxrsync.manifest.sorted_table import image_path_key, study_path_key
from cxrsync.model import FileStat
from cxrsync.plan.survey import FileStatus, Surveyed, file_status

_AFTER_ALL = "\U0010ffff"
_END = (_AFTER_ALL,)


class ColumnType(Enum):
    """The type of a column's values. Values of tables are the text of the table."""

    TEXT = "text"
    WHOLE = "whole number"
    NUMBER = "number"
    TIME = "POSIX time"


class Column(NamedTuple):
    """A column of the index."""

    name: str
    type: ColumnType = ColumnType.TEXT


class KeyedRows(Protocol):
    """A table whose rows are in the order of their keys: key, then one value for each column."""

    name: str
    columns: tuple[str, ...]
    by_study: bool

    def rows(self) -> Iterator[tuple[str, ...]]: ...


@dataclass(slots=True)
class Unmatched:
    """What had no counterpart, by table: ``images`` (or studies) without a row, and ``rows``
    without an image. Complete when all rows were read."""

    images: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


class JoinedImage(NamedTuple):
    """One image: the surveyed file, the ids in its path, and the values of all tables, in their
    order ("" where there is none)."""

    surveyed: Surveyed
    ids: ImageIds | None
    values: tuple[str, ...]

    @property
    def size(self) -> int | None:
        """The size of the file in bytes: on the disk, else as recorded; None if it is not known."""
        _offset, entry, record, found = self.surveyed
        if isinstance(found, FileStat):
            return found.size
        return record.size if record is not None and record.sha256 == entry.sha256 else None

    @property
    def verified_at(self) -> float | None:
        """When the file that is there was last proven (POSIX time); None if it is not proven."""
        _offset, entry, record, found = self.surveyed
        stat = found if isinstance(found, FileStat) else None
        if record is not None and file_status(entry, record, stat) is FileStatus.PRESENT:
            return record.verified_at
        return None


def join_tables(
    images: Iterable[Surveyed],
    tables: Sequence[KeyedRows],
    unmatched: Unmatched,
    *,
    to_the_end: bool = True,
) -> Iterator[JoinedImage]:
    """Yield every image with the values of the tables.

    ``images`` are in the order of the manifest. A row counts only if subject, study and image are
    those of the path. ``unmatched`` is filled at the end; its rows only with ``to_the_end``, for
    images of the whole version.
    """
    cursors = [_Cursor(table) for table in tables]
    for surveyed in images:
        ids = parse_image_path(surveyed.entry.path)
        if ids is None:
            yield JoinedImage(surveyed, None, tuple(v for each in cursors for v in each.blank))
            continue
        image, study = image_path_key(ids), study_path_key(ids)
        values: tuple[str, ...] = ()
        for cursor in cursors:
            values += cursor.values_at(study if cursor.by_study else image)
        yield JoinedImage(surveyed, ids, values)
    for cursor in cursors:
        unmatched.images[cursor.name] = cursor.misses
        if to_the_end:
            unmatched.rows[cursor.name] = cursor.unused_rows()


class _Cursor:
    """A place in a table, which only moves forwards."""

    def __init__(self, table: KeyedRows) -> None:
        self.name = table.name
        self.by_study = table.by_study
        self.blank = ("",) * len(table.columns)
        self.misses = 0
        self._rows = table.rows()
        self._row: tuple[str, ...] = ("",)
        self._read = self._used = 0
        self._asked = ""
        self._answer = self.blank

    def values_at(self, key: str) -> tuple[str, ...]:
        """Return the values of a row, blanks if there is none. Keys come in ascending order."""
        if key == self._asked:
            return self._answer
        self._asked = key
        row = self._row
        while row[0] < key:
            row = next(self._rows, _END)
            self._read += 1
        self._row = row
        if row[0] == key:
            self._used += 1
            self._answer = row[1:]
        else:
            self.misses += 1
            self._answer = self.blank
        return self._answer

    def unused_rows(self) -> int:
        """Return how many rows no image had, after reading those that are left."""
        self._read += sum(1 for _row in self._rows) - (self._row is _END)
        self._row = _END
        return self._read - self._used
