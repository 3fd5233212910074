"""The state of one partition: which files were verified, when, and what went wrong.

The state is evidence, not truth. Everybody may read it, from a snapshot that is only ever replaced.
Only the owner of the partition's lock writes, in batches, to a copy of its own
(:mod:`cxrsync.storage.state_snapshot`). A damaged state is moved aside; it is rebuilt by hashing.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from time import time
from types import TracebackType
from typing import Any, Self

from cxrsync.config.selection import Selection
from cxrsync.errors import LockLost
from cxrsync.model import CopyRecord, DigestMismatch, Entry, FileRecord, Outcome
from cxrsync.sanitize import printable
from cxrsync.storage.access import OWNER_ONLY, Access
from cxrsync.storage.filesystem import disk_failure, make_folders
from cxrsync.storage.possible_records import is_possible_mismatch, possible_records
from cxrsync.storage.state_records import (
    delete_records,
    replace_by_copies,
    select_page,
    write_records,
)
from cxrsync.storage.state_schema import has_derived_table, is_damage, open_empty, open_to_read
from cxrsync.storage.state_snapshot import (
    STATE_NAME,
    StateFiles,
    needs_recovery,
    open_recovered,
    working_copies,
)

# Rows; the first has fewer, because readers hold one of each partition at a time. What is larger
# leaves the processor's caches, and takes a third longer.
_PAGE = 1024
_FIRST_PAGE = 64
# How often a snapshot is opened again after its file server has dropped it.
_REOPENINGS = 3


class State:
    """An open state. Use it as a context manager, in one thread.

    ``snapshot_at``: when its snapshot was made (POSIX time; None: there was none). ``behind``:
    whether a working copy existed at that moment, which may hold later records.
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
        """Whether something was committed that is in no snapshot yet."""

    @classmethod
    def open(
        cls,
        folder: Path,
        stamp: str,
        *,
        token: str | None = None,
        check_lock: Callable[[], None] = lambda: None,
        access: Access = OWNER_ONLY,
    ) -> tuple[State, list[Path]]:
        """Open the state in ``folder`` for writing, or create it, under the partition's lock.

        ``token``: the lock's token (None: a random one). ``check_lock`` raises LockLost if another
        run has the lock. ``access``: who may read the snapshots. What an earlier owner of the lock
        left is recovered. Returns the state and the paths to which damaged states were moved.
        Raises LockLost, DiskError, and NewerFormat (then nothing was changed).
        """
        files = StateFiles(folder, token or secrets.token_hex(16), check_lock, access)
        with _disk_errors("open", folder, files):
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
        """Open the state for reading, even while a pull runs. Needs no lock and no write access.

        Returns None if there is no state that can be read. Raises NewerFormat.
        """
        path = folder / STATE_NAME
        for _ in range(_REOPENINGS):
            found = None
            try:
                found = os.lstat(path)
                db = _open_snapshot(path)
                break
            except (sqlite3.Error, OSError, UnicodeDecodeError):
                if not _is_replaced(path, found):
                    return None
        else:
            return None
        at = found.st_mtime
        try:
            behind = bool(working_copies(folder))
        except OSError:  # a folder that may be entered, but not listed
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
        """Make what was committed so far visible to readers. Raises LockLost, DiskError."""
        if self._files is not None and self.unpublished and self._files.settled:
            with _disk_errors("publish", self._folder, self._files):
                self._files.publish()
            self.unpublished = False
            self.snapshot_at = time()

    def close(self) -> None:
        """Close the state and make all of it visible to readers. Raises DiskError; then the next
        owner of the lock recovers what is not visible yet."""
        self._db.close()
        if self._files is not None and self._has_copy and self._files.settled:
            self._has_copy = False
            try:
                with _disk_errors("publish", self._folder, self._files):
                    self._files.hand_over()
            except LockLost:
                pass  # the run that took over has recovered the working copy

    @contextmanager
    def _commit(self) -> Iterator[None]:
        """Commit all changes in the block, or none. Raises LockLost, DiskError."""
        with _disk_errors("write", self._folder, self._files):
            if self._files is not None and not self._has_copy:
                working = self._files.begin()
                self._db.close()
                self._db = working
                self._has_copy = True
            with self._db:
                yield
            self.unpublished = True

    def records(self) -> Iterator[FileRecord]:
        """Return every record in the order of the manifest (byte order of the path). Raises
        DiskError.

        They are read in pages, and no cursor stays open between two pages: records can be written
        meanwhile. Impossible records are skipped: their files are hashed again.
        """
        return chain.from_iterable(self._pages())

    def _pages(self) -> Iterator[Iterator[FileRecord]]:
        last, rows = "", _FIRST_PAGE
        while True:
            page = self._page(last, rows)
            yield possible_records(page)
            # A damaged path may come back as one that sorts before it: do not loop for ever.
            if len(page) < rows or page[-1][0] <= last:
                return
            last, rows = page[-1][0], _PAGE

    def _page(self, last: str, rows: int) -> list[Any]:
        """Return so many rows after the path ``last``. Raises DiskError."""
        for _ in range(_REOPENINGS):
            try:
                return select_page(self._db, last, rows)
            except sqlite3.OperationalError:
                if self._files is not None:
                    break
                # NFS drops a file that another machine has replaced (ESTALE). The rows after a path
                # can be read from the next snapshot just as well.
                with suppress(sqlite3.Error, OSError, UnicodeDecodeError):
                    again = _open_snapshot(self._folder / STATE_NAME)
                    self._db.close()
                    self._db = again
        with _disk_errors("read", self._folder, self._files):
            return select_page(self._db, last, rows)

    def record(
        self,
        rows: Iterable[FileRecord] = (),
        mismatches: Iterable[DigestMismatch] = (),
        failures: Iterable[Outcome] = (),
        *,
        at: float,
    ) -> None:
        """Record in one commit: verified files (or those that a copy replaces), mismatches, failed
        files. Raises LockLost, DiskError."""
        rows = list(rows)
        mismatches = list(mismatches)
        with self._commit():
            write_records(self._db, rows)
            self._db.executemany(
                "INSERT OR REPLACE INTO contradiction VALUES (?,?,?,?)", mismatches
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO failure VALUES (?,?,?)",
                [(failed.path, printable(failed.reason), at) for failed in failures],
            )

    def replace_by_copies(self, copies: Mapping[Entry, CopyRecord]) -> set[str]:
        """Record that copies stand for verified files; return the paths of those that were recorded
        as verified. Raises LockLost, DiskError."""
        with self._commit():
            return replace_by_copies(self._db, copies)

    def forget_failures(self, paths: Iterable[str]) -> None:
        """Delete what is recorded of failures of files. Raises LockLost, DiskError."""
        with self._commit():
            rows = [(path,) for path in paths]
            self._db.executemany("DELETE FROM failure WHERE path = ?", rows)

    def forget(self, paths: Iterable[str]) -> None:
        """Delete the records of files that turned out to be wrong. Raises LockLost, DiskError."""
        with self._commit():
            delete_records(self._db, paths)

    @property
    def may_have_copies(self) -> bool:
        """Whether it has, or had, files that smaller copies have replaced."""
        return has_derived_table(self._db)

    def oldest_proof(self) -> float | None:
        """Return when the file that was hashed longest ago was hashed; None without files."""
        [(at,)] = self._db.execute("SELECT min(CAST(verified_at AS REAL)) FROM file")
        return None if at is None else float(at)

    def mismatches(self) -> list[DigestMismatch]:
        """Return the files whose bytes at the source do not have the published digest."""
        found = self._db.execute("SELECT path, expected, observed, validator FROM contradiction")
        return [known for row in found if is_possible_mismatch(known := DigestMismatch._make(row))]

    def failures(self) -> Iterator[tuple[str, str]]:
        """Return path and reason of the files that the last run to try them could not fetch.

        Raises DiskError."""
        with _disk_errors("read", self._folder, self._files):
            found = self._db.execute("SELECT path, reason FROM failure").fetchall()
        for path, reason in found:
            if type(path) is str and type(reason) is str:
                yield path, reason

    def record_rate(self, count: int, seconds: float, *, at: float) -> None:
        """Record a measured rate for estimates: ``count`` bytes in ``seconds``."""
        with self._commit():
            self._db.execute("INSERT OR REPLACE INTO rate VALUES (?,?,?)", (at, count, seconds))

    def last_rate(self) -> tuple[float, float] | None:
        """Return the last measured rate: when (POSIX time), and bytes per second."""
        found = self._db.execute(
            "SELECT at, bytes / seconds FROM rate WHERE bytes > 0 AND seconds > 0 "
            # A flipped bit can turn a number into a text, which is larger than any number.
            "AND max(at, bytes, seconds) < 1e18 ORDER BY at DESC LIMIT 1"
        ).fetchone()
        return None if found is None else (float(found[0]), float(found[1]))

    def record_selection(self, selection: Selection, *, at: float) -> None:
        """Record that this tree was pulled with ``selection``: the default of ``verify``. Raises
        LockLost, DiskError."""
        what = json.dumps(selection.as_json(), sort_keys=True)
        newest = self._db.execute("SELECT what FROM selection ORDER BY at DESC LIMIT 1").fetchone()
        if newest == (what,):
            return  # a run that changes nothing must write nothing
        with self._commit():
            self._db.execute("INSERT OR REPLACE INTO selection VALUES (?,?)", (what, at))

    def selections(self) -> list[Selection]:
        """Return the selections that this tree was pulled with, oldest first."""
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
                continue  # written by a later version: we cannot interpret it
        return found


def _is_replaced(path: Path, found: os.stat_result | None) -> bool:
    """Whether a snapshot has been replaced since: what failed may have met two of them."""
    try:
        now = os.lstat(path)
    except OSError:
        return False
    return found is None or (now.st_ino, now.st_mtime_ns) != (found.st_ino, found.st_mtime_ns)


def _open_snapshot(path: Path) -> sqlite3.Connection:
    return open_recovered(path) if needs_recovery(path) else open_to_read(path)


@contextmanager
def _disk_errors(doing: str, folder: Path, files: StateFiles | None) -> Iterator[None]:
    """Turn errors of the disk and the database into DiskError; or into LockLost, if another run has
    the lock: then that is the cause."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError, OSError) as problem:
        if files is not None:
            files.check_lock()
        raise disk_failure(problem, f"cannot {doing} {folder / STATE_NAME}") from None
