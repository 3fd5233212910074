"""Folders that are a part of a tree, or hold the parts of one, and are no place for another tree:
everything would be fetched again into them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from cxrsync.catalog.dataset_info import NAME
from cxrsync.dataset.tree_identity import identity_of
from cxrsync.errors import UsageError
from cxrsync.storage.layout import OWN_FOLDER, is_version_root

# In our own folder: trees of other datasets, for a version's root that is itself the destination.
BESIDE = "beside"

# What lies in files/, one below the other, and the option that selects it.
_SHARD = re.compile(r"p\d\d", re.ASCII)
_SUBJECT = re.compile(r"p\d{8}", re.ASCII)
_STUDY = re.compile(r"s\d{8}", re.ASCII)
_DEPTHS = ((_SHARD, "--shard"), (_SUBJECT, "--subject"), (_STUDY, "--study"))
# Where such folders belong.
_PLACES = {_SHARD: "files", _SUBJECT: "files/p10", _STUDY: "files/p10/p10000032"}


def refuse_parts(folder: Path, dataset: str, option: str = "--dest") -> None:
    """Raise UsageError where a new tree of ``dataset`` does not belong into ``folder``, which
    ``option`` named; it says what to name instead."""
    refuse_inside(folder, dataset, option)
    _refuse_moved_parts(folder, option)
    _refuse_other_versions(folder, dataset, option)


def refuse_inside(folder: Path, dataset: str = "", option: str = "--dest") -> None:
    """Raise UsageError where ``folder`` lies in a tree, below its root and its ``files``."""
    real = Path(os.path.realpath(folder))
    for root in real.parents:
        parts = real.relative_to(root).parts
        if parts[0] == OWN_FOLDER:
            if parts[1:2] == (BESIDE,):
                return
            raise UsageError(
                f"{folder} is a folder of cxrsync's own", next_step=f"Say {option} {root}"
            )
        words, whose = selecting(parts), identity_of(root, dataset)
        if (words is not None or whose is not None) and is_version_root(root):
            raise UsageError(
                f"{folder} lies in the tree of {whose or 'a version'}",
                next_step=f"Say {option} {root}{words or ''}",
            )


def _refuse_moved_parts(folder: Path, option: str) -> None:
    for pattern, place in _PLACES.items():
        parts = [name for name in names_in(folder) if pattern.fullmatch(name)]
        if pattern is _SHARD:  # other people's folders have such names, too
            parts = [name for name in parts if _is_shard(folder / name)]
        if parts:
            raise UsageError(
                f"{folder} holds parts of a tree ({', '.join(parts[:3])}), and is no tree",
                next_step=f"Move them to TREE/{place}/ and say {option} TREE: nothing that is "
                f"right will be fetched again. Or choose another {option}.",
            )


def _refuse_other_versions(folder: Path, dataset: str, option: str) -> None:
    for root in (folder / name for name in names_in(folder)):
        told = identity_of(root, dataset)
        if told is None or told.dataset == dataset or not is_version_root(root):
            continue
        other = folder.parent if folder.name == told.dataset else "another folder"
        raise UsageError(
            f"{folder} holds versions of {told.dataset}, not of {dataset}",
            next_step=f"Say {option} {other}",
        )


def selecting(parts: tuple[str, ...]) -> str | None:
    """The option that selects what such a folder of a tree holds, with a blank before it; empty for
    the whole ``files``, None for what is no folder of images."""
    words = ""
    if parts[0] != "files" or len(parts) > 1 + len(_DEPTHS):
        return None
    for part, (pattern, option) in zip(parts[1:], _DEPTHS, strict=False):
        if not pattern.fullmatch(part):
            return None
        words = f" {option} {part}"
    return words


def names_in(folder: Path) -> list[str]:
    """What may be names of datasets, versions or shards in a folder, as far as we may look."""
    try:
        return sorted(name for name in os.listdir(folder) if NAME.fullmatch(name))
    except OSError:
        return []


def _is_shard(folder: Path) -> bool:
    return any(
        _SUBJECT.fullmatch(name) and name.startswith(folder.name) for name in names_in(folder)
    )
