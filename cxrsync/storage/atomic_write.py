"""Write every byte or raise an error; put a small file in place whole or not at all."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from cxrsync.model import Chunk
from cxrsync.storage.access import OWNER_FILE, OWNER_ONLY, Access

UNFINISHED = ".new"
COPY_SUFFIX = ".copy"
# Linux takes at most 1,024 buffers in one call.
_MAX_BUFFERS = 512


def write_file(
    path: Path,
    data: bytes,
    *,
    fsync: bool = True,
    access: Access = OWNER_ONLY,
    check_lock: Callable[[], None] = lambda: None,
) -> None:
    """Put a small file of our own in place, whole or not at all. Raises OSError, LockLost.

    ``access``: who may read it, whatever the umask; only a file without data may be for others.

    ``check_lock``, for a name that a lock guards, raises LockLost if another run has the lock. If
    the lock is taken over after that check, the new owner deletes the new file, and the rename
    fails.
    """
    # A random name: two runs may begin at the same time, before either has a lock.
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}{UNFINISHED}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(fresh, flags, OWNER_FILE)
    try:
        try:
            write_all(fd, [data], 0)
            if access != OWNER_ONLY:
                access.set_on_file(fd)
            if fsync:
                os.fsync(fd)
        finally:
            os.close(fd)
        check_lock()
        os.replace(fresh, path)
    except BaseException:
        with suppress(OSError):  # report the first error, not this one
            fresh.unlink()
        raise


def sync_data(fd: int) -> None:
    """Sync the bytes of an open file; its times may wait. Raises OSError."""
    if sys.platform == "darwin":
        os.fsync(fd)  # macOS has no fdatasync
    else:
        os.fdatasync(fd)


def write_all(fd: int, chunks: Sequence[Chunk], offset: int) -> None:
    """Write every byte of ``chunks`` at ``offset``, in as many calls as it takes. Raises
    OSError."""
    pending: Sequence[Chunk] = chunks if len(chunks) <= _MAX_BUFFERS else [b"".join(chunks)]
    while pending:
        written = os.pwritev(fd, pending, offset)
        offset += written
        rest: list[Chunk] = []
        for chunk in pending:
            if written >= len(chunk):
                written -= len(chunk)
            else:
                rest.append(memoryview(chunk)[written:])
                written = 0
        pending = rest
