"""A tree of smaller copies: its description, its records, and its list of digests.

It has no manifest of PhysioNet's and no state, and is never taken for a tree of a dataset: the file
DERIVED.json says what it is.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cxrsync.errors import UsageError
from cxrsync.model import MANIFEST_NAME
from cxrsync.storage.atomic_write import write_file
from cxrsync.storage.derived_image import Derived
from cxrsync.storage.layout import DERIVED_NAME
from cxrsync.storage.new_file import new_file

SOURCES_NAME = "SOURCE_SHA256SUMS.txt"
OWN_FOLDER_OF_DERIVED = ".derived"
_RECORDS = "records.sqlite3"


class DerivedTree:
    """The records of one tree of copies. Use it in one thread, under the lock of ``own``."""

    def __init__(self, root: Path) -> None:
        self.root = root
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
            if known != description:
                raise UsageError(
                    f"{self.root} holds copies that were made in another way",
                    next_step=f"{DERIVED_NAME} says how. Move that tree away, or name the same "
                    "size with the same releases of cxrsync and Pillow.",
                )
            return
        if os.path.exists(self.root) and any(
            name != self.own.name for name in os.listdir(self.root)
        ):
            raise UsageError(
                f"{self.root} exists, and is not a tree of copies", next_step="Move it away."
            )
        self.own.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(file, (json.dumps(description, indent=2) + "\n").encode())

    def open(self) -> None:
        """Open the records, and remove what killed workers left. Raises sqlite3.Error, OSError."""
        self.unfinished.mkdir(mode=0o700, exist_ok=True)
        for left in self.unfinished.iterdir():
            left.unlink()  # a worker that is still alive fails to give it its name
        self._db = sqlite3.connect(self.own / _RECORDS, isolation_level=None)
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS copy (path TEXT PRIMARY KEY, source TEXT, sha256 TEXT, "
            "size INTEGER, mtime_ns INTEGER) WITHOUT ROWID"
        )

    def close(self) -> None:
        """Close the records."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def has(self, path: str, source_sha256: str) -> bool:
        """Return whether the copy of an original with this digest is recorded, and is there."""
        assert self._db is not None
        row = self._db.execute(
            "SELECT source, size, mtime_ns FROM copy WHERE path = ?", (path,)
        ).fetchone()
        if row is None or row[0] != source_sha256:
            return False
        try:
            found = os.lstat(self.root / path)
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (row[1], row[2])

    def record(self, copies: Iterable[Derived]) -> None:
        """Record copies that are in place, in one commit. Raises sqlite3.Error."""
        assert self._db is not None
        rows = [(c.path, c.source_sha256, c.sha256, c.size, c.mtime_ns) for c in copies]
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR REPLACE INTO copy VALUES (?,?,?,?,?)", rows)
        self._db.execute("COMMIT")

    def write_lists(self) -> None:
        """Write the digests of the copies, for ``sha256sum -c``, and those of their originals.

        Raises: OSError, sqlite3.Error.
        """
        assert self._db is not None
        for name, column in ((MANIFEST_NAME, "sha256"), (SOURCES_NAME, "source")):
            query = f"SELECT {column}, path FROM copy ORDER BY path"  # noqa: S608 - two names
            with new_file(self.root / name, replace=True, folder=self.own) as file:
                for digest, path in self._db.execute(query):
                    file.write(f"{digest}  {path}\n".encode())
