"""The rows of a state about verified files, and about files that smaller copies replaced.

A file is in one of two tables: ``file``, or, once ``--drop-originals`` has replaced it by a copy,
``derived``. That table is made, and the format becomes 2, with the first such file: a state without
any stays readable for older versions, and they refuse one that they would take for incomplete.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from cxrsync.model import (
    CopyRecord,
    DigestMismatch,
    Entry,
    FileRecord,
    is_digest,
    is_size,
    is_validator,
)
from cxrsync.storage.state_schema import add_derived_table, has_derived_table

_FILE_COLUMNS = 7
# CAST: one flipped bit can turn a text into a number, or a path into a blob.
_COLUMNS = (
    "CAST(path AS TEXT) AS path, sha256, CAST(size AS INTEGER), CAST(mtime_ns AS INTEGER), "
    "source, validator, verified_at"
)
_FILES = f"SELECT {_COLUMNS} FROM file WHERE path > ?1 ORDER BY path LIMIT ?2"  # noqa: S608
_BOTH = (
    f"SELECT {_COLUMNS}, NULL, NULL, NULL FROM file WHERE path > ?1 "  # noqa: S608
    f"UNION ALL SELECT {_COLUMNS}, CAST(pixels AS INTEGER), copy_sha256, "
    "CAST(copy_size AS INTEGER) FROM derived WHERE path > ?1 ORDER BY path LIMIT ?2"
)


_ONE = f"SELECT {_COLUMNS} FROM file WHERE path = ?"  # noqa: S608


def select_page(db: sqlite3.Connection, last: str, rows: int) -> list[Any]:
    """Return so many rows after the path ``last``, in the order of the paths."""
    query = _BOTH if has_derived_table(db) else _FILES
    return db.execute(query, (last, rows)).fetchall()


def possible_records(page: Iterable[Any]) -> Iterator[FileRecord]:
    """Yield the rows that can be ours, as records."""
    for row in page:
        copy = row[_FILE_COLUMNS:]
        is_file = not copy or copy[0] is None
        record = FileRecord._make(
            (*row[:_FILE_COLUMNS], None if is_file else CopyRecord._make(copy))
        )
        if _is_possible_record(record):
            yield record


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


def _is_possible_record(row: FileRecord) -> bool:
    """Return whether a record can be ours. SQLite keeps any value in any column, and a flipped bit
    can turn a text into a number or a blob."""
    path, sha256, size, _mtime_ns, source, validator, _verified_at, copy = row
    return (
        type(path) is type(sha256) is type(source) is type(validator) is str
        and is_digest(sha256)
        and is_size(size)
        and (not validator or is_validator(validator))
        and (copy is None or _is_possible_copy(copy))
    )


def _is_possible_copy(copy: CopyRecord) -> bool:
    return (
        type(copy.sha256) is str
        and is_digest(copy.sha256)
        and is_size(copy.size)
        and copy.pixels > 0
    )


def is_possible_mismatch(known: DigestMismatch) -> bool:
    """Return whether a mismatch can be ours: its validator goes into requests, its digests into
    messages."""
    return (
        all(type(text) is str for text in known)
        and is_digest(known.expected)
        and is_digest(known.observed)
        and (not known.validator or is_validator(known.validator))
    )
