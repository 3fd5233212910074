"""Find the tree of a version below a folder that the user named.

``--dest``, ``--from`` and ``--link-from`` follow this one rule. A tree lies in one of the places
where wget puts it, and nowhere else:

    DIR/<dataset>/<version>                       also wget -nH --cut-dirs=1
    DIR/physionet.org/files/<dataset>/<version>   wget -r; the host, or that of --base-url
    DIR/files/<dataset>/<version>                 wget -nH
    DIR/<version>                                 wget -nH --cut-dirs=2
    DIR                                           wget -nH --cut-dirs=3
    the parent of DIR                             where DIR is the folder ``files`` of a version

If two of these places hold the same version, the folder is refused, because the user may mean
either. A folder inside a tree is refused too: everything would be fetched again into that folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

from cxrsync.catalog.load import dataset_info
from cxrsync.dataset.nested_trees import list_names, refuse_part_of_tree
from cxrsync.dataset.tree_identity import (
    Identity,
    check_identity,
    identity_from_path,
    identity_of,
    read_claim,
)
from cxrsync.errors import UsageError
from cxrsync.storage.filesystem import forbidden_error, forbidden_folder
from cxrsync.storage.layout import holds_version, is_version_root
from cxrsync.storage.tree import Tree

_HOSTS = ("physionet.org", "www.physionet.org")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PLAIN_PART = re.compile(r"[0-9A-Za-z][0-9A-Za-z._~-]*", re.ASCII)


class Layout(Enum):
    """Where the tree of a version lies, relative to the folder that the user named."""

    PLAIN = "<dataset>/<version>"
    WGET = "below the folders that wget makes of an address"
    VERSIONS = "<version>"
    ROOT = "the folder itself"
    FILES = "the folder is the tree's folder of files"


@dataclass(frozen=True, slots=True)
class Placement:
    """The root of a version's tree, and its layout. ``exists``: the root is there and not empty."""

    root: Path
    layout: Layout
    exists: bool = True


def wget_folders(base_url: str) -> tuple[str, ...]:
    """Return the folders in which ``wget -r`` and ``wget -nH`` put datasets, relative to the folder
    that wget ran in. The first one is the empty name, for the plain layout. A ``base_url`` that is
    not a valid address adds no folder."""
    found = ["", "files", *(f"{host}/files" for host in _HOSTS)]
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return tuple(found)
    folders = [each for each in parts.path.split("/") if each]
    if host and all(map(_PLAIN_PART.fullmatch, folders)):
        has_port = port is not None and port != _DEFAULT_PORTS.get(parts.scheme)
        found += ["/".join(folders), "/".join([f"{host}:{port}" if has_port else host, *folders])]
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Location:
    """A folder that the user named with ``option``, and the trees in it.

    ``folders``: the folders below it that may hold datasets, as :func:`wget_folders` returns them.
    """

    path: Path
    folders: tuple[str, ...] = ("",)
    option: str = "--dest"

    @property
    def top(self) -> Path:
        """The absolute path of the folder. Symbolic links are kept, ``..`` is resolved."""
        is_plain = ".." not in self.path.parts
        return self.path.absolute() if is_plain else Path(os.path.realpath(self.path))

    def version_root(self) -> Placement | None:
        """Return the root of a version if the folder is that root, or its folder ``files``."""
        if is_version_root(self.top):
            return Placement(self.top, Layout.ROOT)
        real = Path(os.path.realpath(self.path))
        if real.name == "files" and is_version_root(real.parent):
            parent = self.top.parent
            is_same = self.top.name == "files" and _is_same(parent, real.parent)
            return Placement(parent if is_same else real.parent, Layout.FILES)
        return None

    def find_existing(self, dataset: str, version: str) -> Placement | None:
        """Find the tree of a version; None if it is in none of the places.

        Raises: UsageError if there are two such trees, or if the tree is of another dataset or
        version.
        """
        self.refuse_file()
        found = self._candidates(Identity(dataset, version))
        if len(found) > 1:
            raise self._ambiguous(f"{dataset} {version}", [each.root for each in found])
        for each in found:
            check_identity(each.root, Identity(dataset, version), self.option)
            return each
        return None

    def find(self, dataset: str, version: str) -> Placement:
        """Find the tree of a version, or choose where it will be created.

        A new tree is created next to other versions of its dataset, else in the plain layout.

        Raises: UsageError as :meth:`find_existing`, and if the folder is a part of a tree.
        """
        existing = self.find_existing(dataset, version)
        if existing is not None:
            return existing
        refuse_part_of_tree(self.top, dataset, self.option)
        parents = _distinct(
            Placement(folder, layout, exists=False)
            for folder, layout in self._dataset_folders(dataset)
            if self._versions_in(folder, layout, dataset)
        )
        if len(parents) > 1 and parents[0].layout is not Layout.PLAIN:
            raise self._ambiguous(f"versions of {dataset}", [each.root for each in parents])
        plain = Placement(self.top / dataset, Layout.PLAIN, exists=False)
        parent = parents[0] if parents else plain
        return replace(parent, root=parent.root / version)

    def versions(self, dataset: str) -> list[str]:
        """Return the versions of ``dataset`` that the folder is or holds, sorted by name."""
        found = {root.name for root in self.trees(dataset)}
        own = self.version_root()
        root = self.top if own is None else own.root
        identity = identity_of(root, dataset) if own or _is_begun(root) else None
        if identity is not None and identity.dataset == dataset:
            found.add(identity.version)
        return sorted(found)

    def trees(self, dataset: str) -> list[Path]:
        """Return the roots of all versions of ``dataset`` below the folder."""
        return [
            each.root
            for each in _distinct(
                Placement(folder / name, layout)
                for folder, layout in self._dataset_folders(dataset)
                for name in self._versions_in(folder, layout, dataset)
            )
        ]

    def claimed(self) -> list[Identity]:
        """Return dataset and version of every tree of cxrsync that the folder is or holds."""
        own = self.version_root()
        claim = None if own is None else read_claim(Tree(own.root))
        if claim is not None:
            return [claim]
        roots = [
            *(
                self.top / each / slug / version
                for each in self.folders
                for slug in list_names(self.top / each)
                for version in list_names(self.top / each / slug)
            ),
            *(self.top / version for version in list_names(self.top)),
        ]
        found = {root: read_claim(Tree(root)) for root in roots}
        return list(
            dict.fromkeys(
                identity
                for root, identity in found.items()
                if identity is not None
                and identity.version == root.name
                and (root.parent == self.top or identity.dataset == root.parent.name)
            )
        )

    def holds_datasets_next_to(self, root: Path) -> bool:
        """Return whether other datasets belong next to the tree in ``root``, below the folder."""
        return root.parent.parent in {self.top / each for each in self.folders}

    def notice(self, placement: Placement, dataset: str, version: str) -> str | None:
        """Return the notice that tells the user where a tree lies; None for the plain layout."""
        root, layout = placement.root, placement.layout
        if layout is Layout.PLAIN:
            return None
        if not placement.exists:
            return f"{dataset} {version} goes into {root}, next to what is already there"
        is_claimed = read_claim(Tree(root)) is not None
        if layout is Layout.ROOT and is_claimed:
            return None
        text = f"continuing with the tree {'' if is_claimed else 'that wget left '}in {root}"
        if layout is Layout.FILES:
            text = f"{self.top} is a part of the tree in {root}: continuing with that tree"
        if identity_of(root, dataset) is None:
            text += f"; its version is not recorded there: {version} is assumed"
        return text

    def refuse_file(self) -> None:
        """Raise UsageError if the path exists and is not a folder."""
        if os.path.exists(self.path) and not os.path.isdir(self.path):
            parent = self.top.parent
            other = parent if is_version_root(parent) else "another folder"
            raise UsageError(
                f"{self.option} {self.path} is not a folder", next_step=f"Say {self.option} {other}"
            )

    def refuse_forbidden(self, dataset: str, version: str | None = None) -> None:
        """Raise DiskError if a tree of ``dataset`` may lie in a folder that we may not enter."""
        for folder, _layout in self._dataset_folders(dataset):
            for name in ("", *list_names(folder), version or ""):
                if (forbidden := forbidden_folder(folder / name)) is not None:
                    raise forbidden_error(forbidden, self.option)

    # ── inside ─────────────────────────────────────────────────────────────────────────────────

    def _candidates(self, asked: Identity) -> list[Placement]:
        """Return the places that hold files of a version.

        If one of them looks like the root of a version, those that do not (wget was stopped early)
        do not count.
        """
        own = self.version_root()
        if own is not None and read_claim(Tree(own.root)) == asked:
            return [own]  # the user named the claimed tree itself: other trees inside do not count
        found = [] if own is None else [own]
        if identity_from_path(self.top, asked.dataset) == asked:
            found.append(Placement(self.top, Layout.ROOT))
        for folder, layout in self._dataset_folders(asked.dataset):
            root = folder / asked.version
            if layout is not Layout.VERSIONS or self._is_version_of(root, asked.dataset):
                found.append(Placement(root, layout))
        found = [each for each in found if _is_begun(each.root)]
        signed = [each for each in found if is_version_root(each.root)]
        return _distinct(signed or found)

    def _dataset_folders(self, dataset: str) -> Iterator[tuple[Path, Layout]]:
        """Yield the folders that may hold versions of a dataset; they need not exist."""
        for each in self.folders:
            yield self.top / each / dataset, Layout.WGET if each else Layout.PLAIN
        yield self.top, Layout.VERSIONS

    def _versions_in(self, folder: Path, layout: Layout, dataset: str) -> list[str]:
        found = [name for name in list_names(folder) if name[0].isdigit()]
        if layout is Layout.VERSIONS:
            known = dataset_info(dataset).versions
            found = [
                name
                for name in found
                if self._is_version_of(folder / name, dataset)
                and (name in known or identity_of(folder / name, dataset) is not None)
            ]
        return [name for name in found if holds_version(folder / name)]

    @staticmethod
    def _is_version_of(root: Path, dataset: str) -> bool:
        """Return whether a version's root that is not in a folder named after its dataset may be of
        ``dataset``."""
        identity = identity_of(root, dataset)
        return is_version_root(root) and (identity is None or identity.dataset == dataset)

    def _ambiguous(self, what: str, roots: list[Path]) -> UsageError:
        first, second, *_ = roots
        return UsageError(
            f"{self.option} {self.path} holds {what} twice: in {first} and in {second}",
            next_step=f"Say {self.option} {second} to use that one; or move it out of {first}."
            if first in second.parents
            else f"Say {self.option} with the one to use, or move the other one away.",
        )


def _is_begun(folder: Path) -> bool:
    """Return whether the folder exists and is not empty. A folder that may not be listed counts as
    not empty."""
    try:
        return bool(os.listdir(folder))
    except OSError as problem:
        return isinstance(problem, PermissionError) and os.path.isdir(folder)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _distinct(found: Iterable[Placement]) -> list[Placement]:
    """Return each folder once, under the first of its names: one may be a link to another."""
    by_real_path: dict[str, Placement] = {}
    for each in found:
        by_real_path.setdefault(os.path.realpath(each.root), each)
    return list(by_real_path.values())
