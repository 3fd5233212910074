"""Where things lie in a destination: dataset, version, and our own folder in it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from cxrsync.model import MANIFEST_NAME

OWN_FOLDER = ".cxrsync"
PARTIAL_FOLDER = "partial"

_SHARD_FOLDER = re.compile(r"p\d\d")


def holds_version(folder: Path) -> bool:
    """Whether ``folder`` holds something of a version: its manifest, or shard folders."""
    # os.path, not Path: a folder that we may not read is no version's root, and no error.
    if os.path.isfile(folder / MANIFEST_NAME):
        return True
    try:
        names = os.listdir(folder / "files")
    except OSError:
        return False
    return any(_SHARD_FOLDER.fullmatch(name) for name in names)


def is_version_root(folder: Path) -> bool:
    """Whether ``folder`` is itself a version's root: it holds one, or we have begun one there."""
    return os.path.isdir(folder / OWN_FOLDER) or holds_version(folder)
