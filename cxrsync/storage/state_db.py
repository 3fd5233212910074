"""The state of one partition: what was verified, when, and what went wrong. Evidence, not truth.

Read by anybody, from a snapshot that is only ever replaced; written by the lock's holder alone, in
a copy of its own (:mod:`cxrsync.storage.state_snapshot`), in batches. A damaged state is set aside
and rebuilt by hashing what is there. One thread owns an open state.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time
from types import TracebackType
from typing import Any, Self

from cxrsync.config.selection import Selection
from cxrsync.errors import DiskError, LockLost
from cxrsync.model import DigestMismatch, FileRecord, Outcome, is_digest, is_size, is_validator
from cxrsync.sanitize import printable, reason_of
from cxrsync.storage.filesystem import make_folders
from cxrsync.storage.state_schema import is_damage, open_empty, open_to_read
from cxrsync.storage.state_snapshot import (
    STATE_NAME,
    StateFiles,
    needs_recovery,
    open_recovered,
    working_copies,
)

_PAGE = 4096
# How often a snapshot is opened again that its file server has let go of.
_REOPENINGS = 3


class State:
    """An open state. Use as a context manager, in one thread.

    ``snapshot_at``: when the snapshot that it was opened from was made (POSIX time; None: there was
    none). ``behind``: whether somebody had more than that by then, in a working copy.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        folder: Path,
        files: StateFiles | None = None,
        *,
        snapshot_at: float | None = None,
        behind: bool = False,
    ) -> None:
        self._db = db
        self._folder = folder
        self._files = files
        self._has_copy = False
        self.snapshot_at = snapshot_at
        self.behind = behind
        self.unpublished = False
        """Whether something was committed that no snapshot has."""

    @classmethod
    def open(
        cls,
        folder: Path,
        stamp: str,
        *,
        token: str | None = None,
        check_lock: Callable[[], None] = lambda: None,
    ) -> tuple[State, list[Path]]:
        """Open the state in ``folder`` (or begin one) for writing, under the partition's lock.

        ``token``: the lock's token (None: a random one). ``check_lock`` raises LockLost if another
        run has the lock. What an earlier owner of the lock left is recovered. Returns the state and
        the paths to which damaged states were moved. Raises LockLost, DiskError, and LaterFormat
        (then nothing was changed).
        """
        files = StateFiles(folder, token or secrets.token_hex(16), check_lock)
        with _in_our_words("open", folder, files):
            make_folders(folder)
            aside = files.recover(stamp)
            try:
                found = os.lstat(files.snapshot)
                if found.st_size or not stat.S_ISREG(found.st_mode):
                    db = open_to_read(files.snapshot)
                    return cls(db, folder, files, snapshot_at=found.st_mtime), aside
            except FileNotFoundError:
                pass
            except (sqlite3.DatabaseError, UnicodeDecodeError) as problem:
                if not is_damage(problem, files.snapshot):
                    raise
                aside += files.set_aside(files.snapshot, stamp)
            return cls(open_empty(), folder, files), aside

    @classmethod
    def read(cls, folder: Path) -> State | None:
        """Open the state for reading beside a running pull: no lock, no write access needed.

        None where there is none, or none that can be read. Raises LaterFormat.
        """
        path = folder / STATE_NAME
        try:
            at = os.lstat(path).st_mtime
            db = _open_snapshot(path)
        except (sqlite3.Error, OSError, UnicodeDecodeError):
            return None
        try:
            behind = bool(working_copies(folder))
        except OSError:  # a folder that may be entered, and not listed
            behind = False
        return cls(db, folder, snapshot_at=at, behind=behind)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def publish(self) -> None:
        """Let readers see what was committed so far. Raises LockLost, DiskError."""
        if self._files is not None and self.unpublished and self._files.settled:
            with _in_our_words("publish", self._folder, self._files):
                self._files.publish()
            self.unpublished = False
            self.snapshot_at = time()

    def close(self) -> None:
        """Let the state go; readers see all of it. Raises DiskError: then it is still there, and
        the next holder of the lock takes it in."""
        self._db.close()
        if self._files is not None and self._has_copy and self._files.settled:
            self._has_copy = False
            try:
                with _in_our_words("publish", self._folder, self._files):
                    self._files.hand_over()
            except LockLost:
                pass  # whoever took over has taken the working copy in

    @contextmanager
    def _commit(self) -> Iterator[None]:
        """All of it or nothing. Raises LockLost, DiskError where the disk will not have it."""
        with _in_our_words("write", self._folder, self._files):
            if self._files is not None and not self._has_copy:
                working = self._files.begin()
                self._db.close()
                self._db = working
                self._has_copy = True
            with self._db:
                yield
            self.unpublished = True

    def records(self) -> Iterator[FileRecord]:
        """Every row in the order of the manifest (byte order of the path), in pages: no cursor
        stays open between two of them, so that writing goes on meanwhile. One that cannot be true
        is passed over: its file is hashed again."""
        last = ""
        while True:
            page = self._page(last)
            yield from filter(_is_evidence, map(FileRecord._make, page))
            # A damaged text comes back as another, which may sort before it: not for ever.
            if len(page) < _PAGE or page[-1][0] <= last:
                return
            last = page[-1][0]

    def _page(self, last: str) -> list[Any]:
        """The rows behind ``last``. Raises DiskError."""
        for _ in range(_REOPENINGS):
            try:
                return self._select(last)
            except sqlite3.OperationalError:
                if self._files is not None:
                    break
                # NFS lets go of a file that another machine has replaced (ESTALE). For going on
                # behind a path, the next snapshot does as well.
                with suppress(sqlite3.Error, OSError, UnicodeDecodeError):
                    again = _open_snapshot(self._folder / STATE_NAME)
                    self._db.close()
                    self._db = again
        with _in_our_words("read", self._folder, self._files):
            return self._select(last)

    def _select(self, last: str) -> list[Any]:
        return self._db.execute(
            # Cast: one flipped bit can make a number of a text, and a blob of a path.
            "SELECT CAST(path AS TEXT), sha256, CAST(size AS INTEGER), "
            "CAST(mtime_ns AS INTEGER), source, validator, verified_at "
            "FROM file WHERE path > ? ORDER BY path LIMIT ?",
            (last, _PAGE),
        ).fetchall()

    def record(
        self,
        rows: Iterable[FileRecord] = (),
        mismatches: Iterable[DigestMismatch] = (),
        failures: Iterable[Outcome] = (),
        *,
        at: float,
    ) -> None:
        """One commit: files verified, files that contradict their digest, files that failed."""
        rows = list(rows)
        mismatches = list(mismatches)
        with self._commit():
            self._db.executemany("INSERT OR REPLACE INTO file VALUES (?,?,?,?,?,?,?)", rows)
            done = [(row.path,) for row in rows]
            self._db.executemany("DELETE FROM failure WHERE path = ?", done)
            self._db.executemany("DELETE FROM contradiction WHERE path = ?", done)
            self._db.executemany(
                "INSERT OR REPLACE INTO contradiction VALUES (?,?,?,?)", mismatches
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO failure VALUES (?,?,?)",
                [(failed.path, printable(failed.reason), at) for failed in failures],
            )

    def forget(self, paths: Iterable[str]) -> None:
        """Withdraw the rows of files that were found wrong."""
        with self._commit():
            self._db.executemany("DELETE FROM file WHERE path = ?", [(path,) for path in paths])

    def mismatches(self) -> list[DigestMismatch]:
        """The files whose bytes at the source do not have the published digest."""
        found = self._db.execute("SELECT path, expected, observed, validator FROM contradiction")
        return [known for row in found if _is_sound(known := DigestMismatch._make(row))]

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

    def record_selection(self, selection: Selection, *, at: float) -> None:
        """Note that this tree was pulled with ``selection``; a bare verify speaks of that."""
        what = json.dumps(selection.as_json(), sort_keys=True)
        newest = self._db.execute("SELECT what FROM selection ORDER BY at DESC LIMIT 1").fetchone()
        if newest == (what,):
            return  # a run that changes nothing writes nothing
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


def _is_evidence(row: FileRecord) -> bool:
    """Whether a row can be one of ours, whatever may lie in the file: SQLite keeps any value in
    any column, and a flipped bit makes a number or a blob of a text."""
    texts = (row.path, row.sha256, row.source, row.validator)
    return (
        all(type(text) is str for text in texts)
        and is_digest(row.sha256)
        and is_size(row.size)
        and (not row.validator or is_validator(row.validator))
    )


def _is_sound(known: DigestMismatch) -> bool:
    """The same of a contradiction: its validator goes into a request, its digests into words."""
    return (
        all(type(text) is str for text in known)
        and is_digest(known.expected)
        and is_digest(known.observed)
        and (not known.validator or is_validator(known.validator))
    )


def _open_snapshot(path: Path) -> sqlite3.Connection:
    return open_recovered(path) if needs_recovery(path) else open_to_read(path)


@contextmanager
def _in_our_words(doing: str, folder: Path, files: StateFiles | None) -> Iterator[None]:
    """Raise what a disk or a database has to say as a DiskError; but where the lock is another's by
    now, that is what happened: LockLost."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError, OSError) as problem:
        if files is not None:
            files.check_lock()
        raise DiskError(f"cannot {doing} {folder / STATE_NAME}: {reason_of(problem)}") from None
