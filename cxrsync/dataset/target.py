"""One version of one dataset, in one tree on this disk."""

from __future__ import annotations

from dataclasses import dataclass

from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.model import RemotePath
from cxrsync.storage.tree import Tree


@dataclass(frozen=True, slots=True)
class Target:
    """The tree of one version of one dataset."""

    tree: Tree
    dataset: DatasetInfo
    version: str

    @property
    def name(self) -> str:
        """Dataset and version, for people."""
        return f"{self.dataset.slug} {self.version}"

    def remote(self, path: str) -> RemotePath:
        """The file at ``path`` as a source knows it."""
        return RemotePath(self.dataset.slug, self.version, path)
