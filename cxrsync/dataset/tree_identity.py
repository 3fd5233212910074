"""Of which dataset and version a tree is: by our own note in it, else by the names of its folders.

A tree that wget left has no note. Where it lies in ``…/<dataset>/<version>`` the names tell; where
it does not, its images may still tell that it is another dataset's.
"""

from __future__ import annotations

import json
import os
import re
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from cxrsync.catalog.dataset_info import NAME
from cxrsync.catalog.load import dataset_info, load
from cxrsync.errors import DiskError, UsageError
from cxrsync.model import Kind
from cxrsync.sanitize import reason_of
from cxrsync.storage.atomic_write import write_file
from cxrsync.storage.filesystem import read_json
from cxrsync.storage.tree import Tree

_CLAIM_NAME = "tree.json"
# Enough to pass over what wget leaves beside the first images.
_FILES_TO_JUDGE = 1000
# 2.1.0 or 1.0; a bare year is nobody's version.
_VERSION = re.compile(r"[0-9]+(?:\.[0-9A-Za-z-]+)+", re.ASCII)


class Identity(NamedTuple):
    """A dataset and one of its versions."""

    dataset: str
    version: str

    def __str__(self) -> str:
        return f"{self.dataset} {self.version}"


def read_claim(tree: Tree) -> Identity | None:
    """Dataset and version of a tree, if one of our runs has noted them."""
    try:
        raw = read_json(tree.own / _CLAIM_NAME)
        dataset, version = str(raw["dataset"]), str(raw["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # They become parts of paths and addresses.
    if not (NAME.fullmatch(dataset) and NAME.fullmatch(version)):
        return None
    return Identity(dataset, version)


def told_by_name(root: Path, dataset: str) -> Identity | None:
    """What the names ``…/<dataset>/<version>`` of a folder tell; None where they tell nothing.

    Only datasets of the catalogue, and ``dataset``, are known by name: ``backup/2.1.0`` tells
    nothing. A link is asked by its own name first, then by that of its target.
    """
    for path in (os.path.abspath(root), os.path.realpath(root)):
        above, version = os.path.split(path)
        slug = os.path.basename(above)
        if (slug == dataset or slug in load()) and _VERSION.fullmatch(version):
            return Identity(slug, version)
    return None


def identity_of(root: Path, dataset: str) -> Identity | None:
    """Of which dataset and version the tree in ``root`` is, where ``dataset`` is asked for."""
    return read_claim(Tree(root)) or told_by_name(root, dataset)


def check_identity(root: Path, asked: Identity, option: str = "--dest") -> None:
    """Raise UsageError where the tree in ``root`` is known to be another than the one asked for.

    ``option`` is the one that named it.
    """
    found = identity_of(root, asked.dataset)
    if found is None or found == asked:
        if read_claim(Tree(root)) is None and (stranger := _stranger(Tree(root), asked.dataset)):
            raise UsageError(
                f"{root} holds images of {stranger}, not of {asked.dataset}",
                next_step=f"Choose another {option}; one folder holds one version.",
            )
        return
    next_step = f"Choose another {option}; one folder holds one version."
    if found.dataset == asked.dataset:
        next_step = f"Say --dataset-version {found.version}, or choose another {option}."
        if option == "--dest" and told_by_name(root, asked.dataset) == found:
            next_step += f" With --dest {root.parent.parent} version {asked.version} comes beside."
    raise UsageError(f"{root} holds {found}, not {asked}", next_step=next_step)


def claim_tree(tree: Tree, dataset: str, version: str) -> None:
    """Make the tree, prove that it can be written, and note whose it is.

    Raises UsageError where it is another's already.
    """
    check_identity(tree.root, Identity(dataset, version))
    is_new = read_claim(tree) is None
    tree.create()
    if is_new:
        words = json.dumps({"dataset": dataset, "version": version}).encode()
        try:
            write_file(tree.own / _CLAIM_NAME, words)
            tree.remember_created_file(tree.own / _CLAIM_NAME, words)
        except OSError as problem:
            raise DiskError(f"cannot write to {tree.root}: {reason_of(problem)}") from None


def _stranger(tree: Tree, dataset: str) -> str | None:
    """The dataset whose images a tree holds that nobody has claimed, if it is another one."""
    mine = dataset_info(dataset)
    for path in islice(tree.files("files"), _FILES_TO_JUDGE):
        if mine.kind_of(path) is Kind.IMAGES:
            return None
        for slug, other in load().items():
            if other.kind_of(path) is Kind.IMAGES:
                return slug
    return None
