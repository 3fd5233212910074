"""Where the smaller copies of a version's images lie, and whether one is there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cxrsync.dataset.target import Target
from cxrsync.model import FileRecord

COPIED_SUFFIXES = (".jpg", ".jpeg", ".png")


def copies_root(target: Target, pixels: int) -> Path:
    """Return the root of the copies: beside the dataset if its version lies in a folder of its
    name, else beside the version."""
    root = target.tree.root
    if root.parent.name == target.dataset.slug:
        return root.parent.with_name(f"{root.parent.name}-{pixels}") / root.name
    return root.with_name(f"{root.name}-{pixels}")


def copy_finder(target: Target) -> Callable[[FileRecord], bool]:
    """Return whether the smaller copy is there, of the recorded size, that replaced a file.

    Its bytes are proven when it is made, and by ``verify``.
    """
    roots: dict[int, str] = {}

    def has_copy(record: FileRecord) -> bool:
        copy = record.copy
        if copy is None:
            return False
        if copy.pixels not in roots:
            roots[copy.pixels] = str(copies_root(target, copy.pixels))
        try:
            return os.lstat(f"{roots[copy.pixels]}/{record.path}").st_size == copy.size
        except OSError:
            return False

    return has_copy
