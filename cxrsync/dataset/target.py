"""The target of a run: the tree of one dataset version on this disk."""

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
        """Dataset and version, as messages show them."""
        return f"{self.dataset.slug} {self.version}"

    def remote(self, path: str) -> RemotePath:
        """Return the address of the file at ``path``, as a source expects it."""
        return RemotePath(self.dataset.slug, self.version, path)
