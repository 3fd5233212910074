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
            cursor.skip_rest()
            unmatched.rows[cursor.name] = cursor.skipped


class _Cursor:
    """A place in a table, which only moves forwards."""

    def __init__(self, table: KeyedRows) -> None:
        self.name = table.name
        self.by_study = table.by_study
        self.blank = ("",) * len(table.columns)
        self.misses = self.skipped = 0
        self._rows = table.rows()
        self._last_miss = ""
        self._is_used = True
        self._key = ""
        self._values = self.blank
        self._advance()

    def values_at(self, key: str) -> tuple[str, ...]:
        """Return the values of a row, blanks if there is none. Keys come in ascending order."""
        while self._key < key:
            self._advance()
        if self._key == key:
            self._is_used = True
            return self._values
        if key != self._last_miss:
            self._last_miss = key
            self.misses += 1
        return self.blank

    def skip_rest(self) -> None:
        """Count the rows that are left."""
        while self._key != _AFTER_ALL:
            self._advance()

    def _advance(self) -> None:
        if not self._is_used:
            self.skipped += 1
        row = next(self._rows, None)
        self._is_used = row is None
        if row is None:
            self._key, self._values = _AFTER_ALL, self.blank
        else:
            self._key, self._values = row[0], row[1:]
