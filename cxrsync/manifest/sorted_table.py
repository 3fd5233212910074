"""The rows of a table in the order of the manifest, whatever their order in the file.

A key of a row is the end of the paths that it describes, so that sorted keys are in the order of
the manifest. The rows are sorted in a temporary database on the disk: the tables of MIMIC-CXR-JPG
have 1.2 million rows, which as Python values would need more memory than all the rest.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from cxrsync.manifest.csv_reader import InvalidTable
from cxrsync.manifest.path_ids import ImageIds

# KiB of memory for each table; the rest of it is in a file without a name, in TMPDIR.
_CACHE_KIB = 1024


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
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._db.execute("PRAGMA journal_mode = OFF")
        values = "".join(f", value{number} TEXT" for number in range(len(columns)))
        self._db.execute(f"CREATE TABLE line (key TEXT PRIMARY KEY{values}) WITHOUT ROWID")

    @classmethod
    def of_rows(
        cls, name: str, columns: Sequence[str], rows: Iterable[tuple[str, ...]], *, by_study: bool
    ) -> Self:
        """Return a table of rows of a key and one value for each column, in any order.

        Raises: InvalidTable if two rows have one key; sqlite3.Error if there is no room for them.
        """
        table = cls(name, columns, by_study=by_study)
        try:
            table._fill(rows)
        except BaseException:
            table.close()
            raise
        return table

    def _fill(self, rows: Iterable[tuple[str, ...]]) -> None:
        marks = ",".join("?" * (1 + len(self.columns)))
        try:
            self._db.execute("BEGIN")
            self._db.executemany(f"INSERT INTO line VALUES ({marks})", rows)  # noqa: S608 - marks
            self._db.execute("COMMIT")
        except sqlite3.IntegrityError:
            what = "a study" if self.by_study else "an image"
            raise InvalidTable(self.name, f"has two rows for {what}") from None

    def close(self) -> None:
        """Delete the sorted rows."""
        self._db.close()

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield every row, sorted by its key. Raises sqlite3.Error."""
        return iter(self._db.execute("SELECT * FROM line ORDER BY key"))
