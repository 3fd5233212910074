"""The database of a state: its tables, its format, and how to open it.

SQLite with a rollback journal (WAL needs shared memory, which network file systems do not have).
Whatever has its name: links are not followed, pipes not waited for, triggers not executed.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cxrsync.errors import NewerFormat
from cxrsync.storage.filesystem import FILE_MODE

# The format (user_version) counts the migrations that were applied. A migration is never edited,
# only followed by another one.
_MIGRATIONS = (
    """
    CREATE TABLE file (
        path TEXT PRIMARY KEY, sha256 TEXT NOT NULL, size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL, source TEXT NOT NULL, validator TEXT NOT NULL,
        verified_at REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE contradiction (
        path TEXT PRIMARY KEY, expected TEXT NOT NULL, observed TEXT NOT NULL,
        validator TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE failure (
        path TEXT PRIMARY KEY, reason TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE rate (at REAL PRIMARY KEY, bytes INTEGER NOT NULL, seconds REAL NOT NULL);
    CREATE TABLE selection (what TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
    """,
)
# Not a migration: only a state with a file that a smaller copy has replaced needs it, and a state
# without any stays readable for version 0.3.
_DERIVED = """
    CREATE TABLE derived (
        path TEXT PRIMARY KEY, sha256 TEXT NOT NULL, size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL, source TEXT NOT NULL, validator TEXT NOT NULL,
        verified_at REAL NOT NULL, pixels INTEGER NOT NULL, copy_sha256 TEXT NOT NULL,
        copy_size INTEGER NOT NULL) WITHOUT ROWID
    """
_DERIVED_SHAPE = (
    "path, sha256, size, mtime_ns, source, validator, verified_at, pixels, copy_sha256, copy_size "
    "FROM derived"
)
_USUAL_FORMAT = len(_MIGRATIONS)
_WITH_DERIVED = 2
# The newest format that we know.
FORMAT = _WITH_DERIVED

_DAMAGE = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PERHAPS_DAMAGE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"


class Damage(sqlite3.DatabaseError):
    """The file is not a state of ours. The message is our own text."""


def is_current(format_number: int) -> bool:
    """Return whether a state of this format is read as it is."""
    return format_number in {_USUAL_FORMAT, _WITH_DERIVED}


def has_derived_table(db: sqlite3.Connection) -> bool:
    """Return whether a state may have files that smaller copies replaced."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return bool(version >= _WITH_DERIVED)


def add_derived_table(db: sqlite3.Connection) -> None:
    """Make the table of those files, if there is none yet. The caller commits."""
    if not has_derived_table(db):
        if not db.in_transaction:  # no statement but those that change rows begins one
            db.execute("BEGIN")
        db.execute(_DERIVED)
        db.execute(f"PRAGMA user_version = {_WITH_DERIVED}")


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a database (SQLite file format, section 1.3).

    ``edition`` counts its commits: of two copies of one state the higher is the later. ``size``:
    of the file, in bytes.
    """

    format: int
    edition: int
    size: int
    writable: bool


def header_of(raw: bytes) -> Header | None:
    """Return the header in the first 100 bytes of a file; None if it is not a database."""
    if len(raw) < _HEADER_BYTES or not raw.startswith(_MAGIC):
        return None
    page = int.from_bytes(raw[16:18], "big")
    return Header(
        format=int.from_bytes(raw[60:64], "big", signed=True),
        edition=int.from_bytes(raw[24:28], "big"),
        size=(65_536 if page == 1 else page) * int.from_bytes(raw[28:32], "big"),
        writable=raw[18:20] == b"\1\1",  # any other value is WAL, or unknown to every SQLite
    )


def read_header(path: Path) -> Header | None:
    """Return the header of a database; None if there is no such file, or if it is not a database.

    Raises NewerFormat if a later cxrsync wrote it, OSError.
    """
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        found = header_of(os.pread(fd, _HEADER_BYTES, 0))
    finally:
        os.close(fd)
    # Read the bytes, not SQL: an older SQLite may take newer tables for damage.
    if found is not None and found.format > FORMAT:
        raise NewerFormat(
            f"{path} was written by a later cxrsync (state format {found.format}; this version "
            f"knows format {FORMAT})"
        )
    return found


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a database that nobody writes to, without locks, journals or write access.

    Raises sqlite3.Error, UnicodeDecodeError, OSError, NewerFormat.
    """
    _check_regular(path)
    head = _check_size(path)
    if not head.writable:
        raise Damage("not written by cxrsync")
    db = sqlite3.connect(f"{_uri(path)}?mode=ro&immutable=1", uri=True)
    try:
        check_pages(db)
        _check_shape(db)
    except BaseException:
        db.close()
        raise
    return db


def open_to_write(path: Path) -> sqlite3.Connection:
    """Open a database that nobody else uses, or create it. A commit that a kill interrupted is
    rolled back; an older format is migrated to ours. Raises as :func:`open_to_read`."""
    try:
        _check_regular(path)
    except FileNotFoundError:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE))
    read_header(path)
    with suppress(FileNotFoundError):
        _check_regular(journal_of(path))
    # nolock: our own lock guards it, and fcntl locks do not work on some network file systems.
    db = sqlite3.connect(f"{_uri(path)}?nolock=1", uri=True)
    try:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("PRAGMA synchronous = FULL")
        check_pages(db)
        _migrate(db)
        _check_shape(db)
        # A state that cannot be written to must be found out now.
        db.execute("DELETE FROM rate WHERE 0")
        db.rollback()
        _check_size(path)
    except BaseException:
        db.close()
        raise
    return db


def open_empty() -> sqlite3.Connection:
    """Return an empty database in memory."""
    db = sqlite3.connect(":memory:")
    _migrate(db)
    return db


def _uri(path: Path) -> str:
    # From the bytes that the system has for the name: they need not be UTF-8.
    return f"file:{quote(os.fsencode(path))}"


def is_damage(problem: Exception, path: Path) -> bool:
    """Return whether the file is damaged, rather than the disk or its permissions at fault."""
    code = getattr(problem, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in _PERHAPS_DAMAGE:
        # One wrong byte in its header makes SQLite take a file for read-only, or not open it.
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return False
        return True
    return code is None or code & 0xFF in _DAMAGE


def journal_of(path: Path) -> Path:
    """Return the path of the journal, with which SQLite rolls a commit back."""
    return path.with_name(f"{path.name}-journal")


def _check_regular(path: Path) -> None:
    """Raise DatabaseError for a link, which SQLite would follow out of the tree, or a pipe, at
    which it would wait for ever; OSError if there is no file."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise Damage("not a regular file")


def _check_size(path: Path) -> Header:
    """Return the header, after comparing its size with the file's: SQLite's own check does not
    find a file that was cut short within its last page. Raises DatabaseError, OSError,
    NewerFormat."""
    head = read_header(path)
    if head is None or head.size != os.path.getsize(path):
        raise Damage("another size than its header says")
    return head


def _migrate(db: sqlite3.Connection) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if not 0 <= version <= FORMAT:
        raise Damage("not a format of ours")
    for number, migration in enumerate(_MIGRATIONS[version:], start=version + 1):
        db.executescript(f"BEGIN; {migration} PRAGMA user_version = {number}; COMMIT;")


def check_pages(db: sqlite3.Connection) -> None:
    """Raise DatabaseError or UnicodeDecodeError if pages are damaged. Texts that are not UTF-8 can
    be read then."""
    db.text_factory = _text
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise Damage("damaged pages")


def _check_shape(db: sqlite3.Connection) -> None:
    """Raise DatabaseError if a table is missing or has other columns, or if there are views or
    triggers."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE type IN ('view', 'trigger')").fetchone():
        raise Damage("views or triggers, of which a state has none")
    for what in (
        "path, sha256, size, mtime_ns, source, validator, verified_at FROM file",
        "what, at FROM selection",
        "path, expected, observed, validator FROM contradiction",
        "path, reason, at FROM failure",
        "at, bytes, seconds FROM rate",
        *((_DERIVED_SHAPE,) if has_derived_table(db) else ()),
    ):
        db.execute(f"SELECT {what} LIMIT 1").fetchall()


def _text(raw: bytes) -> str:
    # A flipped bit must make one row useless, not the whole state.
    return raw.decode(errors="replace")
