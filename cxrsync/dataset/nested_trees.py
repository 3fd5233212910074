"""Refuse folders that are a part of a tree, or that hold parts of one, as the place of a new tree.

Everything would be fetched again into such a folder.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from cxrsync.catalog.dataset_info import NAME
from cxrsync.dataset.tree_identity import identity_of
from cxrsync.errors import UsageError
from cxrsync.model import OWN_FOLDER, SHARD_NAME
from cxrsync.storage.layout import DERIVED_NAME, is_version_root

# In ``.cxrsync`` of a version's root that is itself the destination: the trees of sibling datasets.
SIBLINGS_FOLDER = "beside"

# The levels of folders below files/, and the option that selects one of each level.
_SUBJECT = re.compile(r"p\d{8}", re.ASCII)
_STUDY = re.compile(r"s\d{8}", re.ASCII)
_DEPTHS = ((SHARD_NAME, "--shard"), (_SUBJECT, "--subject"), (_STUDY, "--study"))
# Where each such folder belongs in a tree.
_PLACES = {SHARD_NAME: "files", _SUBJECT: "files/p10", _STUDY: "files/p10/p10000032"}


def refuse_part_of_tree(folder: Path, dataset: str, option: str = "--dest") -> None:
    """Raise UsageError if ``folder`` is a part of a tree, holds loose parts of one, or holds the
    versions of another dataset than ``dataset``.

    ``option``: the option that named the folder. The error says what to name instead.
    """
    refuse_folder_in_tree(folder, dataset, option)
    _refuse_moved_parts(folder, option)
    _refuse_other_versions(folder, dataset, option)


def refuse_folder_in_tree(folder: Path, dataset: str = "", option: str = "--dest") -> None:
    """Raise UsageError if ``folder`` is inside a tree: below its root, and not ``files`` itself."""
    real = Path(os.path.realpath(folder))
    for root in (real, *real.parents):
        if os.path.isfile(root / DERIVED_NAME):
            raise UsageError(
                f"{folder} is a tree of smaller copies ({DERIVED_NAME}), and no dataset's",
                next_step=f"Name the folder of the originals with {option}. The copies are checked "
                f"with: cd {root} && sha256sum --quiet -c SHA256SUMS.txt",
            )
    for root in real.parents:
        parts = real.relative_to(root).parts
        if parts[0] == OWN_FOLDER:
            if parts[1:2] == (SIBLINGS_FOLDER,):
                return
            raise UsageError(
                f"{folder} is a folder for cxrsync's internal files",
                next_step=f"Say {option} {root}",
            )
        words, identity = selection_option(parts), identity_of(root, dataset)
        if (words is not None or identity is not None) and is_version_root(root):
            raise UsageError(
                f"{folder} is inside the tree of {identity or 'a version'}",
                next_step=f"Say {option} {root}{words or ''}",
            )


def _refuse_moved_parts(folder: Path, option: str) -> None:
    for pattern, place in _PLACES.items():
        parts = [name for name in list_names(folder) if pattern.fullmatch(name)]
        if pattern is SHARD_NAME:  # unrelated folders have such names, too
            parts = [name for name in parts if _is_shard(folder / name)]
        if parts:
            raise UsageError(
                f"{folder} holds parts of a tree ({', '.join(parts[:3])}) but is not a tree",
                next_step=f"Move them to TREE/{place}/ and say {option} TREE: correct files are "
                f"not fetched again. Or choose another {option}.",
            )


def _refuse_other_versions(folder: Path, dataset: str, option: str) -> None:
    for root in (folder / name for name in list_names(folder)):
        identity = identity_of(root, dataset)
        if identity is None or identity.dataset == dataset or not is_version_root(root):
            continue
        other = folder.parent if folder.name == identity.dataset else "another folder"
        raise UsageError(
            f"{folder} holds versions of {identity.dataset}, not of {dataset}",
            next_step=f"Say {option} {other}",
        )


def selection_option(parts: tuple[str, ...]) -> str | None:
    """Return the option that selects the content of a folder in a tree, with a blank before it.

    ``parts``: the folder's path, relative to the root of the tree. The result is empty for the
    whole ``files``, and None for a folder that is not one of images.
    """
    words = ""
    if parts[0] != "files" or len(parts) > 1 + len(_DEPTHS):
        return None
    for part, (pattern, option) in zip(parts[1:], _DEPTHS, strict=False):
        if not pattern.fullmatch(part):
            return None
        words = f" {option} {part}"
    return words


def list_names(folder: Path) -> list[str]:
    """Return the names in a folder that may be those of datasets, versions or shards, sorted; none
    if the folder cannot be read."""
    try:
        return sorted(name for name in os.listdir(folder) if NAME.fullmatch(name))
    except OSError:
        return []


def _is_shard(folder: Path) -> bool:
    return any(
        _SUBJECT.fullmatch(name) and name.startswith(folder.name) for name in list_names(folder)
    )
