"""Where the answers of the public API are kept between runs: the user's cache folder.

They are of the site, not of a tree: the API is asked before there is a tree, and its ration is
shared by all trees of a user. A cache folder may be deleted at any time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from cxrsync.storage.atomic_write import write_file

_FOLDER = "cxrsync"
_MAX_BYTES = 1 << 20
# Deleted when another file is written: the files of old versions would gather otherwise.
_MAX_AGE = 30 * 86_400.0


def cache_folder(
    environ: Mapping[str, str] = os.environ, platform: str = sys.platform
) -> Path | None:
    """Return the folder for what may be forgotten; None if there is no home.

    It is what the XDG Base Directory Specification says, and on macOS ~/Library/Caches.
    """
    named, home = environ.get("XDG_CACHE_HOME", ""), environ.get("HOME", "")
    if os.path.isabs(named):  # the specification: ignore a relative path
        return Path(named) / _FOLDER
    if not os.path.isabs(home):
        return None
    return Path(home, *(("Library", "Caches") if platform == "darwin" else (".cache",)), _FOLDER)


class ApiCache:
    """A Memory in a folder. Whatever the disk refuses is forgotten: it must never stop a run."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def read(self, name: str) -> bytes | None:
        """Return what was kept under ``name``, or None."""
        if self._folder is None:
            return None
        with suppress(OSError), open(self._folder / name, "rb") as file:
            return file.read(_MAX_BYTES)
        return None

    def write(self, name: str, data: bytes) -> None:
        """Keep ``data`` under ``name``."""
        folder = self._folder
        if folder is None:
            return
        with suppress(OSError):
            if not _is_own(folder):
                return
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_file(folder / name, data, fsync=False)
            _forget_old(folder, folder / name)


def _is_own(folder: Path) -> bool:
    """Return whether the folder is this user's, or would be created in a folder of this user's.

    With sudo, HOME may be another user's: nothing of root's should be left there. Raises OSError.
    """
    for place in (folder, *folder.parents):
        with suppress(FileNotFoundError, NotADirectoryError):
            return place.stat().st_uid == os.geteuid()
    return False


def _forget_old(folder: Path, newest: Path) -> None:
    limit = newest.stat().st_mtime - _MAX_AGE
    for file in folder.glob("*.json*"):
        if file.stat().st_mtime < limit:
            file.unlink()
