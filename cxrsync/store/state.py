"""The state of one partition: what was verified, when, and what went wrong. Evidence, not truth.

SQLite with a rollback journal, exclusive under our own lock (WAL and SQLite's own locks do not
work on network file systems), committed in batches. A damaged state is set aside and rebuilt by
hashing what is there. One thread owns an open state.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from cxrsync.errors import DiskError
from cxrsync.model import Contradiction, Outcome, Row
from cxrsync.selection import Selection
from cxrsync.store.layout import FILE_MODE, make_folders

STATE_NAME = "state.sqlite3"
_PAGE = 4096

_DAMAGE = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PERHAPS_DAMAGE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}

# user_version counts the migrations that were applied; a migration is never edited, only followed.
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


class State:
    """An open state. Use as a context manager, in one thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    @classmethod
    def open(cls, folder: Path, stamp: str) -> tuple[State, Path | None]:
        """Open (or make) the state in ``folder`` for writing, under the partition's lock.

        Returns it with the path to which a damaged predecessor was set aside, if there was one.
        """
        path = folder / STATE_NAME
        aside = None
        try:
            make_folders(folder)
            try:
                return cls(_connect(path)), None
            except (sqlite3.DatabaseError, UnicodeDecodeError) as problem:
                if not _is_damage(problem, path):
                    raise
                aside = path.with_name(f"{STATE_NAME}.damaged-{stamp}")
                path.replace(aside)
                # A journal belongs to the file it was written for.
                with suppress(FileNotFoundError):
                    _journal(path).replace(_journal(aside))
            return cls(_connect(path)), aside
        except (sqlite3.Error, OSError) as problem:
            raise DiskError(f"cannot open {path}: {problem}") from None

    @classmethod
    def read(cls, folder: Path) -> State | None:
        """Open the state for reading beside a running pull: no lock, no write access needed.

        None where there is none, or none that can be read.
        """
        path = folder / STATE_NAME
        try:
            _check_regular(path)
            db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)
        except (sqlite3.Error, OSError):
            return None
        db.text_factory = _text
        try:
            (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":  # damaged, or in the middle of a commit
                raise sqlite3.DatabaseError(verdict)
            _check_shape(db)
        except (sqlite3.Error, UnicodeDecodeError):
            db.close()
            return None
        return cls(db)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go; everything recorded is in it."""
        self._db.close()

    @contextmanager
    def _commit(self) -> Iterator[None]:
        """All of it or nothing. Raises DiskError where the disk will not have it."""
        try:
            with self._db:
                yield
        except sqlite3.DatabaseError as problem:
            raise DiskError(f"cannot write the state: {problem}") from None

    def rows(self) -> Iterator[Row]:
        """Every row in the order of the manifest (byte order of the path), in pages: no cursor
        stays open between two of them, so that writing goes on meanwhile."""
        last = ""
        while True:
            page = self._db.execute(
                # Cast: one flipped bit can make a number of a text, and a blob of a path.
                "SELECT CAST(path AS TEXT), sha256, CAST(size AS INTEGER), "
                "CAST(mtime_ns AS INTEGER), source, validator, verified_at "
                "FROM file WHERE path > ? ORDER BY path LIMIT ?",
                (last, _PAGE),
            ).fetchall()
            for row in page:
                yield Row._make(row)
            # A damaged text comes back as another, which may sort before it: not for ever.
            if len(page) < _PAGE or page[-1][0] <= last:
                return
            last = page[-1][0]

    def record(
        self,
        rows: Iterable[Row] = (),
        contradictions: Iterable[Contradiction] = (),
        failures: Iterable[Outcome] = (),
        *,
        at: float,
    ) -> None:
        """One commit: files verified, files that contradict their digest, files that failed."""
        rows = list(rows)
        contradictions = list(contradictions)
        with self._commit():
            self._db.executemany("INSERT OR REPLACE INTO file VALUES (?,?,?,?,?,?,?)", rows)
            done = [(row.path,) for row in rows]
            self._db.executemany("DELETE FROM failure WHERE path = ?", done)
            self._db.executemany("DELETE FROM contradiction WHERE path = ?", done)
            self._db.executemany(
                "INSERT OR REPLACE INTO contradiction VALUES (?,?,?,?)", contradictions
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO failure VALUES (?,?,?)",
                [(failed.path, failed.reason, at) for failed in failures],
            )

    def forget(self, paths: Iterable[str]) -> None:
        """Withdraw the rows of files that were found wrong."""
        with self._commit():
            self._db.executemany("DELETE FROM file WHERE path = ?", [(path,) for path in paths])

    def contradictions(self) -> list[Contradiction]:
        """The files whose bytes at the source do not have the published digest."""
        found = self._db.execute("SELECT path, expected, observed, validator FROM contradiction")
        return [Contradiction._make(row) for row in found]

    def record_rate(self, count: int, seconds: float, *, at: float) -> None:
        """What the line gave, for estimates: ``count`` bytes in ``seconds``."""
        with self._commit():
            self._db.execute("INSERT OR REPLACE INTO rate VALUES (?,?,?)", (at, count, seconds))

    def last_rate(self) -> tuple[float, float] | None:
        """When the line was last at work (POSIX time), and the bytes per second that it gave."""
        found = self._db.execute(
            "SELECT at, bytes / seconds FROM rate WHERE bytes > 0 AND seconds > 0 "
            # A flipped bit can make a text of a number, and a text is larger than any number.
            "AND max(at, bytes, seconds) < 1e18 ORDER BY at DESC LIMIT 1"
        ).fetchone()
        return None if found is None else (float(found[0]), float(found[1]))

    def remember(self, selection: Selection, *, at: float) -> None:
        """Note that this tree was pulled with ``selection``; a bare verify speaks of that."""
        what = json.dumps(selection.as_json(), sort_keys=True)
        with self._commit():
            self._db.execute("INSERT OR REPLACE INTO selection VALUES (?,?)", (what, at))

    def selections(self) -> list[Selection]:
        """What this tree was pulled with, oldest first."""
        found = []
        for (what,) in self._db.execute("SELECT what FROM selection ORDER BY at"):
            try:
                found.append(Selection.from_json(json.loads(what)))
            except (
                ValueError,
                KeyError,
                TypeError,
                AttributeError,
                ArithmeticError,
                RecursionError,
            ):
                continue  # written by a later version: not ours to interpret
        return found


def _is_damage(problem: Exception, path: Path) -> bool:
    """Whether the file is at fault, rather than the disk or its permissions."""
    code = getattr(problem, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in _PERHAPS_DAMAGE:
        # One wrong byte in its head makes a file read-only to SQLite, or unopenable.
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        except OSError:
            return False
        return True
    return code is None or code & 0xFF in _DAMAGE


def _text(raw: bytes) -> str:
    # A flipped bit makes a row useless, not the whole state.
    return raw.decode(errors="replace")


def _journal(path: Path) -> Path:
    return path.with_name(f"{path.name}-journal")


def _check_regular(path: Path) -> None:
    """SQLite would follow a link out of the tree, and wait at a pipe for ever. Raises
    DatabaseError for these; OSError where nothing is there."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise sqlite3.DatabaseError("not a regular file")


def _check_shape(db: sqlite3.Connection) -> None:
    """A table that is missing or of another shape is damage too, and so is what acts by itself.
    Raises DatabaseError."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE type IN ('view', 'trigger')").fetchone():
        raise sqlite3.DatabaseError("views or triggers, of which a state has none")
    for what in (
        "path, sha256, size, mtime_ns, source, validator, verified_at FROM file",
        "what, at FROM selection",
        "path, expected, observed, validator FROM contradiction",
        "path, reason, at FROM failure",
        "at, bytes, seconds FROM rate",
    ):
        db.execute(f"SELECT {what} LIMIT 1").fetchall()


def _connect(path: Path) -> sqlite3.Connection:
    try:
        _check_regular(path)
    except FileNotFoundError:
        path.touch(FILE_MODE, exist_ok=False)
    with suppress(FileNotFoundError):
        _check_regular(_journal(path))
    # nolock: our own lock guards it, and fcntl locks lie on some network file systems.
    db = sqlite3.connect(f"file:{quote(str(path))}?nolock=1", uri=True)
    db.text_factory = _text
    try:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("PRAGMA synchronous = FULL")
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise sqlite3.DatabaseError("made by a later version of cxrsync")
        for number, migration in enumerate(_MIGRATIONS[version:], start=version + 1):
            db.executescript(f"BEGIN; {migration} PRAGMA user_version = {number}; COMMIT;")
        _check_shape(db)
        # A state that cannot be written is of no use; better to know it now.
        db.execute("DELETE FROM rate WHERE 0")
        db.rollback()
    except (sqlite3.Error, UnicodeDecodeError):
        db.close()
        raise
    return db
