"""Writing: every byte, or an error; a small file whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cxrsync.store.layout import FILE_MODE

UNFINISHED = ".new"
# Linux takes at most 1,024 buffers in one call.
_MOST_BUFFERS = 512


def write_file(path: Path, data: bytes, *, fsync: bool = True) -> None:
    """Put a small file of our own in place: whole, or not at all."""
    # By a name of this process's own: two runs may begin at once, before either has a lock.
    fresh = path.with_name(f"{path.name}.{os.getpid()}{UNFINISHED}")
    fresh.unlink(missing_ok=True)  # whatever lies there may be a link to somebody's file
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(fresh, flags, FILE_MODE)
    try:
        try:
            write_all(fd, [data], 0)
            if fsync:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(fresh, path)
    except OSError:
        with suppress(OSError):  # the first error is the one to tell
            fresh.unlink()
        raise


def write_all(fd: int, chunks: Sequence[bytes], offset: int) -> None:
    """Write every byte of ``chunks`` at ``offset``, however many calls it takes."""
    pending: Sequence[bytes | memoryview] = (
        chunks if len(chunks) <= _MOST_BUFFERS else [b"".join(chunks)]
    )
    while pending:
        written = os.pwritev(fd, pending, offset)
        offset += written
        rest: list[bytes | memoryview] = []
        for chunk in pending:
            if written >= len(chunk):
                written -= len(chunk)
            else:
                rest.append(memoryview(chunk)[written:])
                written = 0
        pending = rest
