"""The SHA-256 of a part of a file: of its growing beginning, or of some ranges of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from cxrsync.model import Chunk
from cxrsync.storage.byte_ranges import Range

# Small enough to keep a write short.
_READ = 1 << 20


class PrefixHash:
    """The SHA-256 of the first ``size`` bytes of a file, taken while they are written."""

    def __init__(self) -> None:
        self.size = 0
        self._hash = hashlib.sha256()

    def add(self, chunks: Sequence[Chunk]) -> None:
        """Hash the bytes that follow the first ``size``."""
        for chunk in chunks:
            self._hash.update(chunk)
            self.size += len(chunk)

    def catch_up(self, fd: int, stop: int) -> bool:
        """Hash the file's bytes up to ``stop``, read from the disk. Return False if the file ends
        before. Raises OSError."""
        while self.size < stop:
            data = os.pread(fd, min(_READ, stop - self.size), self.size)
            if not data:
                return False
            self.add([data])
        return True

    def hexdigest(self) -> str:
        """Return the digest of the bytes so far, in lower hex."""
        return self._hash.copy().hexdigest()


def ranges_digest(data: Path, ranges: Sequence[Range]) -> str | None:
    """Return the SHA-256 of the bytes in ``ranges``, or None if they cannot be read."""
    digest = hashlib.sha256()
    try:
        with data.open("rb", buffering=0) as file:
            for start, stop in ranges:
                at = start
                while at < stop:
                    piece = os.pread(file.fileno(), min(_READ, stop - at), at)
                    if not piece:
                        return None
                    digest.update(piece)
                    at += len(piece)
    except OSError:
        return None
    return digest.hexdigest()
