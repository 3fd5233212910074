"""The names of our own folders in a destination, and the signs of a version's root."""

from __future__ import annotations

import os
from pathlib import Path

from cxrsync.model import MANIFEST_NAME, OWN_FOLDER, SHARD_NAME

PARTIAL_FOLDER = "partial"
# In the root of a tree of smaller copies, which is no version of a dataset.
DERIVED_NAME = "DERIVED.json"


def holds_version(folder: Path) -> bool:
    """Return whether ``folder`` holds files of a version: its manifest, or folders of shards."""
    # os.path, not Path: a folder that we may not read is not a version's root, and not an error.
    if os.path.isfile(folder / DERIVED_NAME):
        return False
    if os.path.isfile(folder / MANIFEST_NAME):
        return True
    try:
        names = os.listdir(folder / "files")
    except OSError:
        return False
    return any(SHARD_NAME.fullmatch(name) for name in names)


def is_version_root(folder: Path) -> bool:
    """Return whether ``folder`` is a version's root: it holds our own folder, or files of one."""
    return os.path.isdir(folder / OWN_FOLDER) or holds_version(folder)
