"""The SHA-256 of a file on the disk."""

from __future__ import annotations

import errno
import hashlib
import os
import stat

from cxrsync.storage.filesystem import UnexpectedFile, open_carefully

_READ = 1 << 20


def sha256_file(path: str, *, fsync: bool = False) -> str:
    """Return the SHA-256 (lower hex) of the regular file at ``path``. Raises OSError.

    With ``fsync`` the file is synced first, so that a power cut leaves the bytes that were hashed.
    """
    # Do not follow a symbolic link, which could lead out of the tree. Do not wait at a pipe.
    with open(path, "rb", buffering=0, opener=open_carefully) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise UnexpectedFile(errno.EINVAL, "not a regular file", path)
        if fsync:
            os.fsync(file.fileno())
        digest = hashlib.sha256()
        buffer = bytearray(min(_READ, max(1, found.st_size)))
        view = memoryview(buffer)
        while count := file.readinto(buffer):
            digest.update(view[:count])
        return digest.hexdigest()
