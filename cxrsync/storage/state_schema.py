"""The database of a state: its tables, its format, and how one is opened.

SQLite with a rollback journal (WAL needs shared memory, which network file systems do not have).
Whatever may lie in its place is neither followed, nor waited for, nor executed.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cxrsync.errors import LaterFormat
from cxrsync.storage.filesystem import FILE_MODE

# The format (user_version) counts the migrations that were applied; a migration is never edited,
# only followed.
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
FORMAT = len(_MIGRATIONS)

_DAMAGE = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PERHAPS_DAMAGE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"


class Damage(sqlite3.DatabaseError):
    """What lies there is no state of ours. The words are our own."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the head of a database says (SQLite file format, 1.3). ``edition`` counts its commits:
    of two copies of one state the higher is the later. ``size``: of the file, in bytes."""

    format: int
    edition: int
    size: int
    writable: bool


def header_of(raw: bytes) -> Header | None:
    """What the first 100 bytes of a file say; None where it is no database."""
    if len(raw) < _HEADER_BYTES or not raw.startswith(_MAGIC):
        return None
    page = int.from_bytes(raw[16:18], "big")
    return Header(
        format=int.from_bytes(raw[60:64], "big", signed=True),
        edition=int.from_bytes(raw[24:28], "big"),
        size=(65_536 if page == 1 else page) * int.from_bytes(raw[28:32], "big"),
        writable=raw[18:20] == b"\1\1",  # anything else is WAL, or unknown to every SQLite
    )


def read_header(path: Path) -> Header | None:
    """The head of the database under a name; None where there is no such file, or it is none.

    Raises LaterFormat where this cxrsync is too old for it, OSError.
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
    # By its bytes, not by SQL: an older SQLite may call newer tables damage.
    if found is not None and found.format > FORMAT:
        raise LaterFormat(
            f"{path} was written by a later cxrsync (state format {found.format}; this version "
            f"knows format {FORMAT})"
        )
    return found


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a database that is in order and that nobody writes: without locks, journals, or write
    access. Raises sqlite3.Error, UnicodeDecodeError, OSError, LaterFormat."""
    _check_regular(path)
    head = _check_size(path)
    if not head.writable:
        raise Damage("not written by us")
    db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)
    try:
        _check_pages(db)
        _check_shape(db)
    except BaseException:
        db.close()
        raise
    return db


def open_to_write(path: Path) -> sqlite3.Connection:
    """Open a database that nobody else uses, or make it; what a kill left of a commit is rolled
    back, an older format brought up to ours. Raises as :func:`open_to_read`."""
    try:
        _check_regular(path)
    except FileNotFoundError:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE))
    read_header(path)
    with suppress(FileNotFoundError):
        _check_regular(journal_of(path))
    # nolock: our own lock guards it, and fcntl locks lie on some network file systems.
    db = sqlite3.connect(f"file:{quote(str(path))}?nolock=1", uri=True)
    try:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("PRAGMA synchronous = FULL")
        _check_pages(db)
        _migrate(db)
        _check_shape(db)
        # A state that cannot be written is of no use; better to know it now.
        db.execute("DELETE FROM rate WHERE 0")
        db.rollback()
        _check_size(path)
    except BaseException:
        db.close()
        raise
    return db


def open_empty() -> sqlite3.Connection:
    """A database without rows, in memory."""
    db = sqlite3.connect(":memory:")
    _migrate(db)
    return db


def is_damage(problem: Exception, path: Path) -> bool:
    """Whether the file is at fault, rather than the disk or its permissions."""
    code = getattr(problem, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in _PERHAPS_DAMAGE:
        # One wrong byte in its head makes a file read-only to SQLite, or unopenable.
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return False
        return True
    return code is None or code & 0xFF in _DAMAGE


def journal_of(path: Path) -> Path:
    """Where SQLite keeps what it needs to roll a commit back."""
    return path.with_name(f"{path.name}-journal")


def _check_regular(path: Path) -> None:
    """SQLite would follow a link out of the tree, and wait at a pipe for ever. Raises
    DatabaseError for these; OSError where nothing is there."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise Damage("not a regular file")


def _check_size(path: Path) -> Header:
    """A database that was cut short within its last page is none to SQLite's own check. Raises
    DatabaseError, OSError, LaterFormat."""
    head = read_header(path)
    if head is None or head.size != os.path.getsize(path):
        raise Damage("another size than its head says")
    return head


def _migrate(db: sqlite3.Connection) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if not 0 <= version <= FORMAT:
        raise Damage("no format of ours")
    for number, migration in enumerate(_MIGRATIONS[version:], start=version + 1):
        db.executescript(f"BEGIN; {migration} PRAGMA user_version = {number}; COMMIT;")


def _check_pages(db: sqlite3.Connection) -> None:
    """Raises DatabaseError, UnicodeDecodeError where they do not hang together."""
    db.text_factory = _text
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise Damage("damaged pages")


def _check_shape(db: sqlite3.Connection) -> None:
    """A table that is missing or of another shape is damage too, and so is what acts by itself.
    Raises DatabaseError."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE type IN ('view', 'trigger')").fetchone():
        raise Damage("views or triggers, of which a state has none")
    for what in (
        "path, sha256, size, mtime_ns, source, validator, verified_at FROM file",
        "what, at FROM selection",
        "path, expected, observed, validator FROM contradiction",
        "path, reason, at FROM failure",
        "at, bytes, seconds FROM rate",
    ):
        db.execute(f"SELECT {what} LIMIT 1").fetchall()


def _text(raw: bytes) -> str:
    # A flipped bit makes a row useless, not the whole state.
    return raw.decode(errors="replace")
