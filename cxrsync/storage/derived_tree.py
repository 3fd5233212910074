"""A tree of smaller copies: its description, its records, and its list of digests.

It has no manifest of PhysioNet's and no state, and is never taken for a tree of a dataset: the file
DERIVED.json says what it is.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from cxrsync.errors import UsageError
from cxrsync.model import MANIFEST_NAME, is_digest
from cxrsync.storage.atomic_write import write_file
from cxrsync.storage.derived_image import Derivation, Derived
from cxrsync.storage.filesystem import make_folders, sync_folders
from cxrsync.storage.layout import DERIVED_NAME
from cxrsync.storage.new_file import new_file
from cxrsync.storage.state_schema import check_pages, is_damage, journal_of

SOURCES_NAME = "SOURCE_SHA256SUMS.txt"
OWN_FOLDER_OF_DERIVED = ".derived"
_RECORDS = "records.sqlite3"


# What the description may say otherwise than that of an earlier run.
_MAY_DIFFER = ("what", "tool", "filter")
# How copies are scaled; and how version 0.3.0 did it, which is kept in trees that it began.
DRAFT_FILTER = "JPEG decoded at the smallest of 1/8, 1/4, 1/2 that is twice as large, then Lanczos"
_PLAIN_FILTER = "Lanczos"


class DerivedTree:
    """The records of one tree of copies. Use it in one thread at a time, under the lock of ``own``.

    ``draft``: whether its JPEGs are decoded at a part of their size, as its description says.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.draft = True
        self._is_changed = False
        self.own = root / OWN_FOLDER_OF_DERIVED
        self.unfinished = self.own / "new"
        self._db: sqlite3.Connection | None = None

    def describe(self, description: dict[str, Any]) -> None:
        """Write DERIVED.json, or check that the tree is described in the same way.

        Raises: UsageError if the tree holds copies made otherwise, or something else; OSError.
        """
        file = self.root / DERIVED_NAME
        if os.path.exists(file):
            try:
                known = json.loads(file.read_text("utf-8"))
            except ValueError:
                known = None
            if not isinstance(known, dict):
                raise UsageError(
                    f"{file} is damaged, which says how the copies beside it were made",
                    next_step="Restore it, or move that tree away.",
                )
            if not _is_same_way(known, description):
                raise UsageError(
                    f"{self.root} holds copies that were made in another way",
                    next_step=f"{DERIVED_NAME} says how: move that tree away.",
                )
            self.draft = known["filter"] != _PLAIN_FILTER
            if description["tool"] not in str(known["tool"]).split("; "):
                known["tool"] = f"{known['tool']}; {description['tool']}"
                write_file(file, (json.dumps(known, indent=2) + "\n").encode())
            return
        if os.path.exists(self.root) and any(
            name != self.own.name for name in os.listdir(self.root)
        ):
            raise UsageError(
                f"{self.root} exists, and is not a tree of copies", next_step="Move it away."
            )
        new = make_folders(self.own)
        sync_folders({str(each.parent) for each in new})
        write_file(file, (json.dumps(description, indent=2) + "\n").encode())

    def open(self) -> None:
        """Open the records, and remove what killed workers left. Damaged records are kept beside
        the new ones. Raises sqlite3.Error, OSError."""
        self.unfinished.mkdir(mode=0o700, exist_ok=True)
        for left in self.unfinished.iterdir():
            left.unlink()  # a worker that is still alive fails to give it its name
        file = self.own / _RECORDS
        try:
            self._db = _opened(file)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as problem:
            if not is_damage(problem, file):
                raise
            journal_of(file).unlink(missing_ok=True)
            os.replace(file, f"{file}.damaged")
            self._db = _opened(file)
        if self._db.execute("SELECT 1 FROM copy LIMIT 1").fetchone() is None:
            self._recover()

    def _recover(self) -> None:
        """Record the copies that the lists name, if the records are lost: the lists are written
        anew from the records, and nobody can make the copy of a dropped original again. Raises
        sqlite3.Error, OSError."""
        sources, copies = (_listed(self.root / name) for name in (SOURCES_NAME, MANIFEST_NAME))
        found = []
        for path, sha256 in copies.items():
            with suppress(OSError):
                there = os.lstat(f"{self.root}/{path}")
                if source := sources.get(path):
                    size, mtime_ns = there.st_size, there.st_mtime_ns
                    made = Derivation.DERIVED
                    found.append(Derived(path, source, made, sha256, size, mtime_ns))
        if found:
            self.record(found)

    def close(self) -> None:
        """Close the records."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def copy_of(self, path: str, source_sha256: str) -> str:
        """Return the digest of the copy of an original with this digest; "" if none is recorded, or
        it is not there."""
        assert self._db is not None
        row = self._db.execute(
            "SELECT source, size, mtime_ns, sha256 FROM copy WHERE path = ?", (path,)
        ).fetchone()
        if row is None or row[0] != source_sha256:
            return ""
        try:
            found = os.lstat(f"{self.root}/{path}")
        except OSError:
            return ""
        is_same = (found.st_size, found.st_mtime_ns) == (row[1], row[2])
        return str(row[3]) if is_same else ""

    def in_order(self) -> Callable[[str, str], bool]:
        """Return :meth:`has` for calls in ascending order of the paths, without point queries."""
        assert self._db is not None
        rows = self._db.execute("SELECT path, source, size, mtime_ns FROM copy ORDER BY path")
        row: tuple[str, str, int, int] | None = next(rows, None)

        def has(path: str, source_sha256: str) -> bool:
            nonlocal row
            while row is not None and row[0] < path:
                row = next(rows, None)
            if row is None or row[:2] != (path, source_sha256):
                return False
            try:
                found = os.lstat(f"{self.root}/{path}")
            except OSError:
                return False
            return (found.st_size, found.st_mtime_ns) == row[2:]

        return has

    def has(self, path: str, source_sha256: str) -> bool:
        """Return whether the copy of an original with this digest is recorded, and is there."""
        return bool(self.copy_of(path, source_sha256))

    def record(self, copies: Iterable[Derived]) -> None:
        """Record copies that are in place, in one commit. Raises sqlite3.Error."""
        assert self._db is not None
        rows = [(c.path, c.source_sha256, c.sha256, c.size, c.mtime_ns) for c in copies]
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR REPLACE INTO copy VALUES (?,?,?,?,?)", rows)
        self._db.execute("COMMIT")
        self._is_changed = self._is_changed or bool(rows)

    @property
    def pixels(self) -> int:
        """The pixels of the shorter side, as the description says; 0 if it does not. Raises
        OSError."""
        with suppress(ValueError, KeyError, TypeError):
            return int(json.loads((self.root / DERIVED_NAME).read_text())["pixels_of_shorter_side"])
        return 0

    def source_of(self, path: str) -> str:
        """Return the digest of the original of which a copy was made; "" if none is recorded."""
        assert self._db is not None
        row = self._db.execute("SELECT source FROM copy WHERE path = ?", (path,)).fetchone()
        return "" if row is None else str(row[0])

    def forget(self, path: str) -> None:
        """Delete the record of a copy. Raises sqlite3.Error."""
        assert self._db is not None
        self._db.execute("DELETE FROM copy WHERE path = ?", (path,))
        self._is_changed = True

    def write_lists(self) -> None:
        """Write the digests of the copies, for ``sha256sum -c``, and those of their originals, if
        they have changed.

        Raises: OSError, sqlite3.Error.
        """
        assert self._db is not None
        # A run that was killed has recorded copies, and written no list of them.
        if not self._is_changed and os.path.exists(self.root / MANIFEST_NAME):
            recorded = os.lstat(self.own / _RECORDS).st_mtime_ns
            if recorded <= os.lstat(self.root / MANIFEST_NAME).st_mtime_ns:
                return
        for name, column in ((MANIFEST_NAME, "sha256"), (SOURCES_NAME, "source")):
            query = f"SELECT {column}, path FROM copy ORDER BY path"  # noqa: S608 - two names
            with new_file(self.root / name, replace=True, folder=self.own) as file:
                for digest, path in self._db.execute(query):
                    file.write(f"{digest}  {path}\n".encode())


def _opened(file: Path) -> sqlite3.Connection:
    """Open the records, new ones if there is no such file. Raises sqlite3.Error."""
    db = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    try:
        check_pages(db)
        db.text_factory = str  # which takes a fifth of the time
        db.execute(
            "CREATE TABLE IF NOT EXISTS copy (path TEXT PRIMARY KEY, source TEXT, sha256 TEXT, "
            "size INTEGER, mtime_ns INTEGER) WITHOUT ROWID"
        )
    except BaseException:
        db.close()
        raise
    return db


def _listed(file: Path) -> dict[str, str]:
    """Return the digests in a list of them, by path; none if there is no such file. Raises
    OSError."""
    try:
        text = file.read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    lines = (line.partition("  ") for line in text.split("\n"))
    return {path: digest for digest, _blanks, path in lines if is_digest(digest)}


def _is_same_way(known: dict[str, Any], description: dict[str, Any]) -> bool:
    """Return whether two descriptions are of the same copies, made by whatever release."""
    is_known = known.get("filter") in {DRAFT_FILTER, _PLAIN_FILTER} and "tool" in known
    both = [
        {key: value for key, value in each.items() if key not in _MAY_DIFFER}
        for each in (known, description)
    ]
    return is_known and both[0] == both[1]
