"""A local tree as the source of a test."""

from pathlib import Path

from cxrsync.dataset.local_source_trees import SourceTrees
from cxrsync.dataset.tree_identity import Identity
from cxrsync.dataset.tree_location import Location
from cxrsync.sources.local import LocalTree


def local_tree(folder: Path, identity: Identity | None = None) -> LocalTree:
    """``identity``: what ``folder`` itself is, where it is a version's root."""
    return LocalTree(folder, SourceTrees(Location(folder), lambda _event: None, identity))
