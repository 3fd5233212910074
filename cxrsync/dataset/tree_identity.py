"""Identify dataset and version of a tree: by the claim in it, else by the names of its folders.

A claim is the file ``tree.json`` that cxrsync writes. A tree that wget left has none. If it lies in
``…/<dataset>/<version>``, these names identify it; if not, the paths of its images may still show
that it belongs to another dataset.
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
from cxrsync.errors import UsageError
from cxrsync.model import Kind
from cxrsync.storage.atomic_write import write_file
from cxrsync.storage.filesystem import disk_failure, read_json
from cxrsync.storage.tree import Tree

_CLAIM_NAME = "tree.json"
# More than the index pages that wget leaves among the first images.
_MAX_FILES_INSPECTED = 1000
# 2.1.0 or 1.0; a year alone is not a version.
_VERSION = re.compile(r"[0-9]+(?:\.[0-9A-Za-z-]+)+", re.ASCII)


class Identity(NamedTuple):
    """A dataset and one of its versions."""

    dataset: str
    version: str

    def __str__(self) -> str:
        return f"{self.dataset} {self.version}"


def looks_like_version(name: str) -> bool:
    """Return whether the name of a folder looks like the number of a version."""
    return _VERSION.fullmatch(name) is not None


def read_claim(tree: Tree) -> Identity | None:
    """Return dataset and version of a tree; None if no run of cxrsync has claimed it."""
    try:
        raw = read_json(tree.own / _CLAIM_NAME)
        dataset, version = str(raw["dataset"]), str(raw["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # Both become parts of paths and addresses: only plain names are accepted.
    if not (NAME.fullmatch(dataset) and NAME.fullmatch(version)):
        return None
    return Identity(dataset, version)


def identity_from_path(root: Path, dataset: str) -> Identity | None:
    """Return dataset and version if the path of a folder ends in ``<dataset>/<version>``, else
    None.

    Only datasets of the catalogue, and ``dataset`` itself, count: ``backup/2.1.0`` identifies
    nothing. For a symbolic link its own path counts first, then the path of its target.
    """
    for path in (os.path.abspath(root), os.path.realpath(root)):
        parent, version = os.path.split(path)
        slug = os.path.basename(parent)
        if (slug == dataset or slug in load()) and _VERSION.fullmatch(version):
            return Identity(slug, version)
    return None


def identity_of(root: Path, dataset: str) -> Identity | None:
    """Return dataset and version of the tree in ``root``; None if unknown. ``dataset``: the dataset
    of the job, whose name counts in paths though the catalogue may not have it."""
    return read_claim(Tree(root)) or identity_from_path(root, dataset)


def check_identity(root: Path, asked: Identity, option: str = "--dest") -> None:
    """Raise UsageError if the tree in ``root`` is known to be of another dataset or version.

    ``option``: the option that named the folder.
    """
    found = identity_of(root, asked.dataset)
    if found is None or found == asked:
        if read_claim(Tree(root)) is None and (other := _other_dataset(Tree(root), asked.dataset)):
            raise UsageError(
                f"{root} holds images of {other}, not of {asked.dataset}",
                next_step=f"Choose another {option}; one folder holds one version.",
            )
        return
    next_step = f"Choose another {option}; one folder holds one version."
    if found.dataset == asked.dataset:
        next_step = f"Say --dataset-version {found.version}, or choose another {option}."
        if option == "--dest" and identity_from_path(root, asked.dataset) == found:
            next_step += (
                f" With --dest {root.parent.parent}, version {asked.version} goes into a folder of "
                "its own."
            )
    raise UsageError(f"{root} holds {found}, not {asked}", next_step=next_step)


def claim_tree(tree: Tree, dataset: str, version: str, *, must_exist: bool = False) -> None:
    """Create the tree, check that it can be written, and record its dataset and version in it.

    Raises: UsageError if the tree is of another dataset or version; RefusedForSafety if it
    ``must_exist`` and does not; DiskError.
    """
    check_identity(tree.root, Identity(dataset, version))
    was_empty = not os.path.lexists(tree.root)
    is_new = read_claim(tree) is None
    tree.create(must_exist=must_exist)
    if is_new:
        content = json.dumps({"dataset": dataset, "version": version}).encode()
        try:
            write_file(tree.own / _CLAIM_NAME, content, access=tree.access)
            tree.remember_created_file(tree.own / _CLAIM_NAME, content)
        except OSError as problem:
            doing = f"cannot write to {tree.root}"
            raise disk_failure(problem, doing, has_downloads=not was_empty) from None


def _other_dataset(tree: Tree, dataset: str) -> str | None:
    """Return the dataset of the images in an unclaimed tree, if it is another than ``dataset``."""
    expected = dataset_info(dataset)
    for path in islice(tree.files("files"), _MAX_FILES_INSPECTED):
        if expected.kind_of(path) is Kind.IMAGES:
            return None
        for slug, info in load().items():
            if info.kind_of(path) is Kind.IMAGES:
                return slug
    return None
