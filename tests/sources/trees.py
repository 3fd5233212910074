"""A local tree as the source of a test."""

from pathlib import Path

from cxrsync.engine.source_trees import SourceTrees
from cxrsync.sources.local import LocalTree
from cxrsync.store.placement import Location
from cxrsync.store.tree_identity import Identity


def local_tree(folder: Path, whose: Identity | None = None) -> LocalTree:
    """``whose``: what ``folder`` itself is, where it is a version's root."""
    return LocalTree(folder, SourceTrees(Location(folder), lambda _event: None, whose))
