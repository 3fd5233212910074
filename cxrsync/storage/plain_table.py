"""The plain ``.csv`` beside a table ``.csv.gz``: written whole, and recognised by its bytes.

Nothing is recorded about it. It is ours if its bytes are those that the table holds; then nothing
that is somebody's own is ever taken for it, or replaced by it.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import time
import zlib
from collections.abc import Iterator
from enum import Enum
from typing import IO, cast

from cxrsync.model import Entry
from cxrsync.storage.filesystem import make_folders
from cxrsync.storage.new_file import new_file
from cxrsync.storage.tree import Tree

PACKED = ".gz"
_SUFFIX = ".csv" + PACKED
_FOLDER = "unpack"
_PIECE = 1 << 18
_LEFT_BY_A_KILL = 86_400.0


class Unpacked(Enum):
    """What became of a plain table."""

    WRITTEN = "written"
    THERE = "there"
    OTHER = "another file has its name"
    NOT_VERIFIED = "the table is not there, or is not the published one"
    NOT_GZIP = "the table is no valid gzip"


def is_packed_table(path: str) -> bool:
    """Return whether the file at ``path`` is a table of which a plain copy may be made."""
    return path.endswith(_SUFFIX)


def plain_name(path: str) -> str:
    """Return the path of the plain copy of a packed table."""
    return path.removesuffix(PACKED)


def is_plain_copy(tree: Tree, path: str) -> bool:
    """Return whether a file holds what the packed table beside it holds."""
    packed = f"{path}{PACKED}"
    if not is_packed_table(packed) or tree.find(packed) is None or tree.find(path) is None:
        return False
    try:
        with open(tree.final(path), "rb") as plain, gzip.open(tree.final(packed)) as table:
            return all(plain.read(len(piece)) == piece for piece in _pieces(table)) and (
                not plain.read(1)
            )
    except (OSError, EOFError, zlib.error):
        return False


def unpack(tree: Tree, entry: Entry) -> Unpacked:
    """Write the plain copy of a packed table, unless it is there. It gets the table's times.

    The bytes that are unpacked are hashed: only those of the published table get a name. Raises
    OSError.
    """
    path = plain_name(entry.path)
    if os.path.lexists(tree.final(path)):
        return Unpacked.THERE if is_plain_copy(tree, path) else Unpacked.OTHER
    if tree.find(entry.path) is None:
        return Unpacked.NOT_VERIFIED
    folder = tree.own / _FOLDER
    make_folders(folder)
    _forget_unfinished(str(folder))
    try:
        with new_file(tree.root / path, folder=folder) as plain:
            _write(tree, entry, plain)
    except _NotPublished:
        return Unpacked.NOT_VERIFIED
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return Unpacked.NOT_GZIP
    except FileExistsError:  # another run was faster
        return Unpacked.THERE if is_plain_copy(tree, path) else Unpacked.OTHER
    return Unpacked.WRITTEN


def _write(tree: Tree, entry: Entry, plain: IO[bytes]) -> None:
    """Write what a packed table holds. Raises _NotPublished, OSError, EOFError, zlib.error."""
    with open(tree.final(entry.path), "rb") as packed:
        found = os.fstat(packed.fileno())
        reader = _HashedReader(packed)
        with gzip.open(cast("IO[bytes]", reader)) as table:
            for piece in _pieces(table):
                plain.write(piece)
        if reader.digest() != entry.sha256:
            raise _NotPublished
    plain.flush()
    os.utime(plain.fileno(), ns=(found.st_atime_ns, found.st_mtime_ns))
    tree.share_file(plain.fileno())


class _NotPublished(Exception):
    """The packed table has another digest."""


class _HashedReader:
    """Reads a file and hashes what was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        return data

    def digest(self) -> str:
        """Return the digest of the whole file: gzip may not have read to its end."""
        while self.read(_PIECE):
            pass
        return self._hash.hexdigest()


def _pieces(file: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


def _forget_unfinished(folder: str) -> None:
    """Remove what a killed run left a day ago. A run that is at work is faster."""
    with os.scandir(folder) as found:
        for each in found:
            if each.stat(follow_symlinks=False).st_mtime < time.time() - _LEFT_BY_A_KILL:
                os.unlink(each.path)
