"""The rows of a table in the order of the manifest, whatever their order in the file.

A key of a row is the end of the paths that it describes, so that sorted keys are in the order of
the manifest. The rows are kept in a temporary file: the tables of MIMIC-CXR-JPG have 1.2 million
rows, which as Python values would need more memory than all the rest. The published tables are in
that order already. A table that is not is sorted in a temporary database, which takes thrice the
time.
"""

from __future__ import annotations

import marshal
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from operator import itemgetter, lt
from typing import Self

from cxrsync.manifest.csv_reader import InvalidTable
from cxrsync.manifest.path_ids import ImageIds

# KiB of memory for each table; the rest of it is in a file without a name, in TMPDIR.
_CACHE_KIB = 1024
# Rows of a table in memory at a time.
_BLOCK_ROWS = 1024
_KEY = itemgetter(0)

Row = tuple[str, ...]
"""A key, then one value for each column."""


class TemporaryFileFailed(Exception):
    """The temporary file of a table cannot be written or read. ``problem``: why."""

    def __init__(self, problem: OSError | sqlite3.Error) -> None:
        super().__init__()
        self.problem = problem


def image_row_key(subject: str, study: str, image: str) -> str:
    """Return the key of an image by its ids in a table: the end of its path, without ``.jpg``."""
    return f"p{subject}/s{study}/{image}."


def study_row_key(subject: str, study: str) -> str:
    """Return the key of a study by its ids in a table: its part of the paths of its images."""
    return f"p{subject}/s{study}/"


def image_path_key(ids: ImageIds) -> str:
    """Return the key of an image by the ids in its path."""
    return f"{ids.subject}/{ids.study}/{ids.image}."


def study_path_key(ids: ImageIds) -> str:
    """Return the key of the study of an image by the ids in its path."""
    return f"{ids.subject}/{ids.study}/"


def shard_of_key(key: str) -> str:
    """Return the shard that the images of a row lie in, by its key."""
    return key[:3]


class SortedTable:
    """A table whose rows are read in the order of their keys.

    ``name``: of the file, for messages. ``columns``: of the values after the key. ``by_study``:
    whether a row describes all images of a study, or one image.
    """

    def __init__(self, name: str, columns: Sequence[str], *, by_study: bool) -> None:
        self.name = name
        self.columns = tuple(columns)
        self.by_study = by_study
        self._kept: _Blocks | _Database = _Blocks()

    @classmethod
    def of_rows(
        cls, name: str, columns: Sequence[str], rows: Iterable[Row], *, by_study: bool
    ) -> Self:
        """Return a table of rows of a key and one value for each column, in any order.

        Raises: InvalidTable if two rows have one key; TemporaryFileFailed if there is no room for
        them.
        """
        table = cls(name, columns, by_study=by_study)
        try:
            table._fill(iter(rows))
        except BaseException:
            table.close()
            raise
        return table

    def _fill(self, rows: Iterator[Row]) -> None:
        blocks = self._kept
        assert isinstance(blocks, _Blocks)
        out_of_order = blocks.fill(rows)
        if not out_of_order:
            return
        self._kept = database = _Database(len(self.columns))
        try:
            database.fill(chain(blocks.rows(), out_of_order, rows))
        except sqlite3.IntegrityError:
            what = "a study" if self.by_study else "an image"
            raise InvalidTable(self.name, f"has two rows for {what}") from None
        finally:
            blocks.close()

    def close(self) -> None:
        """Delete the sorted rows."""
        self._kept.close()

    def rows(self) -> Iterator[Row]:
        """Yield every row, sorted by its key. Raises TemporaryFileFailed."""
        return self._kept.rows()


class _Blocks:
    """Rows that came in order, in a file without a name: many of them at a time, because Python
    reads and writes so the fastest."""

    def __init__(self) -> None:
        with _own_failures():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the table
        self._sizes: list[int] = []

    def fill(self, rows: Iterator[Row]) -> list[Row]:
        """Keep rows as long as each has a larger key than the one before. Return the block of rows
        in which that ends; none if it does not."""
        last = ""
        while block := list(islice(rows, _BLOCK_ROWS)):
            keys = list(map(_KEY, block))
            if not (last < keys[0] and all(map(lt, keys, keys[1:]))):
                return block
            last = keys[-1]
            data = marshal.dumps(block)
            self._sizes.append(len(data))
            with _own_failures():
                self._file.write(data)
        return []

    def rows(self) -> Iterator[Row]:
        with _own_failures():
            self._file.seek(0)
        for size in self._sizes:
            with _own_failures():
                data = self._file.read(size)
            block: list[Row] = marshal.loads(data)  # noqa: S302 - this process wrote it
            yield from block

    def close(self) -> None:
        self._file.close()


class _Database:
    """Rows in any order, in a temporary database."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._db.execute("PRAGMA journal_mode = OFF")
        values = "".join(f", value{number} TEXT" for number in range(columns))
        self._db.execute(f"CREATE TABLE line (key TEXT PRIMARY KEY{values}) WITHOUT ROWID")

    def fill(self, rows: Iterable[Row]) -> None:
        marks = ",".join("?" * (1 + self._columns))
        with _own_failures():
            self._db.execute("BEGIN")
            self._db.executemany(f"INSERT INTO line VALUES ({marks})", rows)  # noqa: S608 - marks
            self._db.execute("COMMIT")

    def rows(self) -> Iterator[Row]:
        found = iter(self._db.execute("SELECT * FROM line ORDER BY key"))
        while True:
            with _own_failures():
                block = list(islice(found, _BLOCK_ROWS))
            if not block:
                return
            yield from block

    def close(self) -> None:
        self._db.close()


@contextmanager
def _own_failures() -> Iterator[None]:
    """Raise a failure of the temporary file as one, not as that of the table's own file."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except (OSError, sqlite3.Error) as problem:
        raise TemporaryFileFailed(problem) from None
