"""The tree of one version of one dataset."""

from __future__ import annotations

from dataclasses import dataclass

from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.storage.tree import Tree


@dataclass(frozen=True, slots=True)
class Target:
    """The tree of a version of a dataset."""

    tree: Tree
    dataset: DatasetInfo
    version: str
