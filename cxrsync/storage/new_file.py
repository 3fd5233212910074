"""A file that is written in pieces and gets its name when it is whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from cxrsync.storage.access import OWNER_FILE
from cxrsync.storage.atomic_write import UNFINISHED


@contextmanager
def new_file(
    path: Path, *, replace: bool = False, folder: Path | None = None
) -> Iterator[IO[bytes]]:
    """Yield a file to write. At the end it gets the name ``path``; after an error it is removed.

    ``folder``: where it is until then, on the same disk; by default beside ``path``.
    ``replace``: replace a file of that name, in one step. Otherwise FileExistsError is raised if
    there is one at the end. Only its owner may read it. Raises OSError.
    """
    fresh = (folder or path.parent) / f".{path.name}.{secrets.token_hex(8)}{UNFINISHED}"
    fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_FILE)
    try:
        with os.fdopen(fd, "wb", buffering=1 << 20) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(fresh, path)
        else:
            _give_name(fresh, path)
    except BaseException:
        with suppress(OSError):  # report the first error, not this one
            fresh.unlink()
        raise


def _give_name(fresh: Path, path: Path) -> None:
    """Give a file a name that no file has. Raises OSError."""
    try:
        os.link(fresh, path)
    except FileExistsError:
        raise
    except OSError:  # a disk without hard links
        if os.path.lexists(path):
            raise FileExistsError(path) from None
        os.rename(fresh, path)
    else:
        os.unlink(fresh)
