"""The smaller copies of a version's images: where they lie, how they are made, whether one is
there."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cxrsync import __version__
from cxrsync.dataset.target import Target
from cxrsync.errors import UsageError
from cxrsync.model import FileRecord
from cxrsync.storage.derived_image import QUALITY
from cxrsync.storage.derived_tree import DRAFT_FILTER
from cxrsync.storage.layout import DERIVED_NAME

COPIED_SUFFIXES = (".jpg", ".jpeg", ".png")


def copies_root(target: Target, pixels: int) -> Path:
    """Return the root of the copies: beside the dataset if its version lies in a folder of its
    name, else beside the version."""
    root = target.tree.root
    if root.parent.name == target.dataset.slug:
        return root.parent.with_name(f"{root.parent.name}-{pixels}") / root.name
    return root.with_name(f"{root.name}-{pixels}")


def copies_roots(target: Target) -> list[Path]:
    """Return the roots of all trees of copies of this version that are there."""
    usual = copies_root(target, 0)
    is_beside_dataset = usual.parent != target.tree.root.parent
    name = usual.parent.name if is_beside_dataset else usual.name
    folder = usual.parent.parent if is_beside_dataset else usual.parent
    found = []
    for each in sorted(folder.glob(f"{glob.escape(name.removesuffix('0'))}[0-9]*")):
        root = each / usual.name if is_beside_dataset else each
        if os.path.isfile(root / DERIVED_NAME):
            found.append(root)
    return found


def check_pillow() -> str:
    """Return the release of Pillow. Raises UsageError if it is not installed."""
    try:
        from PIL import __version__ as release
    except ImportError:
        raise UsageError(
            "resize needs Pillow, which is not installed",
            next_step="pip install 'cxrsync[images]'",
        ) from None
    return release


def copies_description(target: Target, pixels: int) -> dict[str, Any]:
    """Return what DERIVED.json says of the copies. Raises as :func:`check_pillow`."""
    return {
        "what": f"smaller copies of the images of {target.name}, made by cxrsync",
        "dataset": target.dataset.slug,
        "version": target.version,
        "pixels_of_shorter_side": pixels,
        "filter": DRAFT_FILTER,
        "format": f"JPEG, quality {QUALITY}",
        "tool": f"cxrsync {__version__}, Pillow {check_pillow()}",
        "agreement": f"Copies are under the same data use agreement as the originals: "
        f"{target.dataset.page(target.version)}",
        "digests": "SHA256SUMS.txt: of the copies; SOURCE_SHA256SUMS.txt: of their originals, as "
        "published",
    }


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
