"""The digest of a file on the disk."""

from __future__ import annotations

import hashlib
import os

_READ = 1 << 20


def digest_of(path: str) -> str:
    """The SHA-256 (lower hex) of the regular file at ``path``. Raises OSError."""
    # A symbolic link could lead out of the tree: it is no file of ours.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with open(fd, "rb", buffering=0) as file:
        digest = hashlib.sha256()
        buffer = bytearray(min(_READ, max(1, os.fstat(fd).st_size)))
        view = memoryview(buffer)
        while count := file.readinto(buffer):
            digest.update(view[:count])
        return digest.hexdigest()
