"""Find every tree in a folder that the user named: of any dataset and version, also older ones.

A tree counts if it lies in one of the places of :mod:`cxrsync.dataset.tree_location`; so do the
trees of sibling datasets inside another tree's own folder. A place that holds a tree that cannot be
used (a broken link, a folder that we may not enter, a tree that is another one than its folders
say) is found too, with its problem: whoever speaks of all trees must not leave it out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cxrsync.catalog.load import dataset_info, load
from cxrsync.config.job import LATEST
from cxrsync.dataset.nested_trees import (
    SIBLINGS_FOLDER,
    list_names,
    refuse_folder_in_tree,
    refuse_part_of_tree,
)
from cxrsync.dataset.partition_states import pulled_selections
from cxrsync.dataset.shared_tree import recorded_access
from cxrsync.dataset.target import Target
from cxrsync.dataset.tree_identity import (
    Identity,
    check_identity,
    identity_of,
    looks_like_version,
    read_claim,
)
from cxrsync.dataset.tree_location import Location, wget_folders
from cxrsync.dataset.version import version_key
from cxrsync.errors import CxrsyncError, DiskError, NotFetchedYet, UsageError
from cxrsync.storage.filesystem import forbidden_error, forbidden_folder
from cxrsync.storage.layout import is_version_root
from cxrsync.storage.tree import Tree


@dataclass(frozen=True, slots=True)
class FoundTree:
    """A tree on this disk. ``identity``: None if nothing tells it. ``problem``: why the tree cannot
    be used."""

    root: Path
    identity: Identity | None
    problem: CxrsyncError | None = None

    @property
    def name(self) -> str:
        """Dataset and version, as messages show them."""
        return "a tree" if self.identity is None else str(self.identity)

    def target(self) -> Target:
        """Return the target. Raises its problem, if it has one."""
        if self.problem is not None:
            raise self.problem
        assert self.identity is not None  # else it has a problem
        tree = Tree(self.root)
        tree.access, _note = recorded_access(tree)  # a scrub writes to the states
        return Target(tree, dataset_info(self.identity.dataset), self.identity.version)


def find_trees(location: Location) -> list[FoundTree]:
    """Return the trees that a folder is or holds, by dataset and version.

    Raises: UsageError if the folder is a file, DiskError if we may not enter it.
    """
    location.refuse_file()
    own = location.version_root()
    if own is None and (forbidden := _unlistable(location.top)) is not None:
        raise forbidden_error(forbidden, location.option)
    found = _in_folders(location) if own is None else iter([_named_root(own.root)])
    distinct: dict[str, FoundTree] = {}
    for tree in found:
        for each in (tree, *_siblings_of(tree)):
            distinct.setdefault(os.path.realpath(each.root), each)
    return sorted(distinct.values(), key=_order)


def trees_in(dest: Path, base_url: str, version: str | None = None) -> list[FoundTree]:
    """Return the trees that a user's folder is or holds; of a ``version`` only, if one is named.

    Raises: NotFetchedYet if there is none, UsageError, DiskError.
    """
    location = Location(dest, wget_folders(base_url))
    found = find_trees(location)
    if version is not None and version != LATEST:
        found = [each for each in found if each.identity and each.identity.version == version]
    if not found:
        refuse_folder_in_tree(location.top)
        refuse_part_of_tree(location.top, "")
        raise NotFetchedYet(
            f"there is no tree of a dataset {f'in version {version} ' if version else ''}in {dest}",
            next_step="Name the folder that holds it with --dest, or run `cxrsync pull` first.",
        )
    return found


def _order(tree: FoundTree) -> tuple[str, list[tuple[int, int, str]], str]:
    dataset, version = tree.identity or ("", "")
    return dataset, version_key(version), str(tree.root)


def _in_folders(location: Location) -> Iterator[FoundTree]:
    known = load()
    for folder in location.folders:
        for slug in list_names(location.top / folder):
            parent = location.top / folder / slug
            names = list_names(parent)
            if slug in known and not names and (problem := _unreachable(parent)) is not None:
                yield FoundTree(parent, Identity(slug, ""), problem)
            for version in names:
                if (tree := _in_place(parent / version, slug)) is not None:
                    yield tree
    for version in list_names(location.top):
        if (tree := _in_folder_of_versions(location.top / version)) is not None:
            yield tree


def _in_place(root: Path, slug: str) -> FoundTree | None:
    """Return the tree in ``…/<dataset>/<version>``; None if there is none."""
    named = Identity(slug, root.name)
    if is_version_root(root):
        claim = read_claim(Tree(root))
        # Others are copies under names of the user's own, such as backup/2.1.0.
        if claim != named and not looks_like_version(root.name):
            return None
        if claim is not None and claim.dataset != slug:
            return None
        return FoundTree(root, named, _conflict(root, named))
    if slug in load() and looks_like_version(root.name):
        problem = _unreachable(root)
        return None if problem is None else FoundTree(root, named, problem)
    return None


def _in_folder_of_versions(root: Path) -> FoundTree | None:
    """Return the tree in ``…/<version>``, whose dataset only a claim or the path can tell."""
    claim = read_claim(Tree(root))
    if claim is not None:
        return FoundTree(root, claim) if claim.version == root.name else None
    is_named = looks_like_version(root.name) and is_version_root(root)
    return _named_root(root) if is_named else None


def _named_root(root: Path) -> FoundTree:
    identity = identity_of(root, "")
    if identity is not None:
        return FoundTree(root, identity, _conflict(root, identity))
    problem = UsageError(
        f"nothing in {root} says which dataset and version it is",
        next_step=f"Name both: --dataset NAME --dataset-version V --dest {root}. A pull notes "
        "them.",
    )
    return FoundTree(root, None, problem)


def _conflict(root: Path, identity: Identity) -> CxrsyncError | None:
    """Return the error of a tree that is known to be another one than ``identity``."""
    try:
        check_identity(root, identity)
    except UsageError as problem:
        return problem
    return None


def _unreachable(root: Path) -> DiskError | None:
    """Return why a folder with the name of a tree cannot be looked into; None if it can, or if
    there is no such folder."""
    if os.path.islink(root) and not os.path.exists(root) and forbidden_folder(root) is None:
        return DiskError(
            f"{root} is a link to {os.path.realpath(root)}, which is not there",
            next_step="Is its disk mounted? If the files are gone for good, remove the link.",
        )
    forbidden = _unlistable(root)
    return None if forbidden is None else forbidden_error(forbidden)


def _unlistable(folder: Path) -> Path | None:
    """Return the folder, or one above it, that we may not list or enter; None if there is none."""
    if (forbidden := forbidden_folder(folder)) is not None:
        return forbidden
    try:
        os.listdir(folder)
    except PermissionError:
        return folder
    except OSError:
        return None
    return None


def _siblings_of(tree: FoundTree) -> Iterable[FoundTree]:
    """Yield the trees of other datasets inside a tree's own folder, if they were pulled into. Those
    of newer versions, which hold a manifest alone, are no trees of the user's."""
    if tree.problem is not None:
        return
    beside = Tree(tree.root).own / SIBLINGS_FOLDER
    for slug in list_names(beside):
        for version in list_names(beside / slug):
            found = _in_place(beside / slug / version, slug)
            if found is not None and _was_pulled_into(found):
                yield found


def _was_pulled_into(found: FoundTree) -> bool:
    try:
        return bool(pulled_selections(Tree(found.root)))
    except UsageError:  # a state that cannot be read
        return True
