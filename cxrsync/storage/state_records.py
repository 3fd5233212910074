"""The rows of a state about verified files, and about files that smaller copies replaced.

A file is in one of two tables: ``file``, or, once ``--drop-originals`` has replaced it by a copy,
``derived``. That table is made, and the format becomes 2, with the first such file: a state without
any stays readable for older versions, and they refuse one that they would take for incomplete.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from cxrsync.model import CopyRecord, Entry, FileRecord
from cxrsync.storage.state_schema import add_derived_table, has_derived_table

_FILE_COLUMNS = 7
# CAST: one flipped bit can turn a text into a number, or a path into a blob. It has no name: sorted
# by that, and not by the column, each page would cost a look at all rows after it.
_COLUMNS = (
    "CAST(path AS TEXT), sha256, CAST(size AS INTEGER), CAST(mtime_ns AS INTEGER), source, "
    "validator, verified_at"
)
_FILES = f"SELECT {_COLUMNS}, NULL FROM file WHERE path > ?1 ORDER BY path LIMIT ?2"  # noqa: S608
_BOTH = (
    f"SELECT {_COLUMNS}, NULL, NULL, NULL, path AS key FROM file WHERE path > ?1 "  # noqa: S608
    f"UNION ALL SELECT {_COLUMNS}, CAST(pixels AS INTEGER), copy_sha256, "
    "CAST(copy_size AS INTEGER), path AS key FROM derived WHERE path > ?1 ORDER BY key LIMIT ?2"
)
_ONE = f"SELECT {_COLUMNS} FROM file WHERE path = ?"  # noqa: S608


def select_page(db: sqlite3.Connection, last: str, rows: int) -> list[Any]:
    """Return so many rows after the path ``last``, in the order of the paths: the values of a
    record, which may be impossible ones."""
    tolerant = db.text_factory
    db.text_factory = str  # a fifth of the time of one in Python
    try:
        return _rows_after(db, last, rows)
    except (sqlite3.OperationalError, UnicodeDecodeError):  # of a text that is not UTF-8
        db.text_factory = tolerant
        return _rows_after(db, last, rows)
    finally:
        db.text_factory = tolerant


def _rows_after(db: sqlite3.Connection, last: str, rows: int) -> list[Any]:
    if not has_derived_table(db):
        return db.execute(_FILES, (last, rows)).fetchall()
    return [
        (
            *row[:_FILE_COLUMNS],
            None if (copy := row[_FILE_COLUMNS:-1])[0] is None else CopyRecord(*copy),
        )
        for row in db.execute(_BOTH, (last, rows))
    ]


def write_records(db: sqlite3.Connection, records: Iterable[FileRecord]) -> None:
    """Write records, each in place of an earlier one of its path. The caller commits."""
    files: list[FileRecord] = []
    derived: list[FileRecord] = []
    for record in records:
        (files if record.copy is None else derived).append(record)
    if derived:
        add_derived_table(db)
    in_both = has_derived_table(db)
    for table, rows, other in (("file", files, "derived"), ("derived", derived, "file")):
        if not rows:
            continue
        values = [(*row[:_FILE_COLUMNS], *(row.copy or ())) for row in rows]
        marks = ",".join("?" * len(values[0]))
        db.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", values)  # noqa: S608
        if in_both:
            db.executemany(f"DELETE FROM {other} WHERE path = ?", _paths(rows))  # noqa: S608
    for row in _paths(chain(files, derived)):
        db.execute("DELETE FROM failure WHERE path = ?", row)
        db.execute("DELETE FROM contradiction WHERE path = ?", row)


def replace_by_copies(db: sqlite3.Connection, copies: Mapping[Entry, CopyRecord]) -> set[str]:
    """Record that copies stand for verified files; return the paths of those that are recorded as
    verified with the entry's digest. The caller commits."""
    add_derived_table(db)
    replaced = set()
    for (path, sha256), copy in copies.items():
        row = db.execute(_ONE, (path,)).fetchone()
        if row is None:  # the run before was killed before it removed the file
            row = db.execute(_ONE.replace("FROM file", "FROM derived"), (path,)).fetchone()
        if row is not None and row[1] == sha256:
            write_records(db, [FileRecord._make((*row, copy))])
            replaced.add(path)
    return replaced


def delete_records(db: sqlite3.Connection, paths: Iterable[str]) -> None:
    """Delete the records of paths. The caller commits."""
    gone = [(path,) for path in paths]
    db.executemany("DELETE FROM file WHERE path = ?", gone)
    if has_derived_table(db):
        db.executemany("DELETE FROM derived WHERE path = ?", gone)


def _paths(rows: Iterable[FileRecord]) -> list[tuple[str]]:
    return [(row.path,) for row in rows]
