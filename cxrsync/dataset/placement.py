"""Where the tree of a version lies in a folder that a person named.

``--dest``, ``--from`` and ``--link-from`` go by this one rule. A tree lies in one of the places
where wget puts it, and nowhere else:

    DIR/<dataset>/<version>                       also wget -nH --cut-dirs=1
    DIR/physionet.org/files/<dataset>/<version>   wget -r; the host, or that of --base-url
    DIR/files/<dataset>/<version>                 wget -nH
    DIR/<version>                                 wget -nH --cut-dirs=2
    DIR                                           wget -nH --cut-dirs=3
    the parent of DIR                             where DIR is the folder ``files`` of a version

Where two of them hold the same version nobody can know which is meant: that is refused. So is a
folder further down in a tree, since all of it would be fetched again into that folder.
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
from cxrsync.dataset.tree_identity import (
    Identity,
    check_identity,
    identity_of,
    read_claim,
    told_by_name,
)
from cxrsync.dataset.tree_parts import names_in, refuse_parts
from cxrsync.errors import UsageError
from cxrsync.storage.layout import holds_version, is_version_root
from cxrsync.storage.tree import Tree

_HOSTS = ("physionet.org", "www.physionet.org")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PLAIN_PART = re.compile(r"[0-9A-Za-z][0-9A-Za-z._~-]*", re.ASCII)


class Layout(Enum):
    """How a version's tree lies in the folder that was named."""

    PLAIN = "<dataset>/<version>"
    WGET = "below the folders that wget makes of an address"
    VERSIONS = "<version>"
    ROOT = "the folder itself"
    FILES = "the folder is the tree's folder of files"


@dataclass(frozen=True, slots=True)
class Placement:
    """The root of a version's tree, and how it lies there. ``exists``: something is in it."""

    root: Path
    layout: Layout
    exists: bool = True


def wget_folders(base_url: str) -> tuple[str, ...]:
    """The folders in which ``wget -r`` and ``wget -nH`` put datasets, below the one it ran in;
    first the empty one of the plain layout. An address that is none adds nothing."""
    found = ["", "files", *(f"{host}/files" for host in _HOSTS)]
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return tuple(found)
    folders = [each for each in parts.path.split("/") if each]
    if host and all(map(_PLAIN_PART.fullmatch, folders)):
        is_told = port is not None and port != _DEFAULT_PORTS.get(parts.scheme)
        found += ["/".join(folders), "/".join([f"{host}:{port}" if is_told else host, *folders])]
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Location:
    """A folder that a person named with ``option``, and the trees that lie in it.

    ``folders``: those below it that hold datasets, as :func:`wget_folders` names them.
    """

    path: Path
    folders: tuple[str, ...] = ("",)
    option: str = "--dest"

    @property
    def top(self) -> Path:
        """The folder as an absolute path; its links stay, ``..`` does not."""
        is_plain = ".." not in self.path.parts
        return self.path.absolute() if is_plain else Path(os.path.realpath(self.path))

    def own_root(self) -> Placement | None:
        """The version's root that the folder is, or whose ``files`` it is."""
        if is_version_root(self.top):
            return Placement(self.top, Layout.ROOT)
        real = Path(os.path.realpath(self.path))
        if real.name == "files" and is_version_root(real.parent):
            above = self.top.parent
            is_same = self.top.name == "files" and above.exists() and above.samefile(real.parent)
            return Placement(above if is_same else real.parent, Layout.FILES)
        return None

    def existing(self, dataset: str, version: str) -> Placement | None:
        """Where the tree of a version lies; None where it is in none of the places.

        Raises UsageError where there are two of them, or where it is another's.
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
        """Where the tree of a version lies, or where it will: beside other versions of its dataset,
        else in the plain place. Raises UsageError as :meth:`existing`, and for a part of a tree.
        """
        there = self.existing(dataset, version)
        if there is not None:
            return there
        refuse_parts(self.top, dataset, self.option)
        homes = _distinct(
            Placement(folder, layout, exists=False)
            for folder, layout in self._homes(dataset)
            if self._versions_in(folder, layout, dataset)
        )
        if len(homes) > 1 and homes[0].layout is not Layout.PLAIN:
            raise self._ambiguous(f"versions of {dataset}", [each.root for each in homes])
        home = homes[0] if homes else Placement(self.top / dataset, Layout.PLAIN, exists=False)
        return replace(home, root=home.root / version)

    def versions(self, dataset: str) -> list[str]:
        """The versions of ``dataset`` that lie there, in the order of their names."""
        found = {root.name for root in self.trees(dataset)}
        own = self.own_root()
        root = self.top if own is None else own.root
        told = identity_of(root, dataset) if own or _is_begun(root) else None
        if told is not None and told.dataset == dataset:
            found.add(told.version)
        return sorted(found)

    def trees(self, dataset: str) -> list[Path]:
        """The roots of all versions of ``dataset`` that lie below the folder."""
        return [
            each.root
            for each in _distinct(
                Placement(folder / name, layout)
                for folder, layout in self._homes(dataset)
                for name in self._versions_in(folder, layout, dataset)
            )
        ]

    def claimed(self) -> list[Identity]:
        """Dataset and version of every tree of ours that the folder is, or holds."""
        own = self.own_root()
        noted = None if own is None else read_claim(Tree(own.root))
        if noted is not None:
            return [noted]
        roots = [
            *(
                self.top / each / slug / version
                for each in self.folders
                for slug in names_in(self.top / each)
                for version in names_in(self.top / each / slug)
            ),
            *(self.top / version for version in names_in(self.top)),
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

    def holds_beside(self, root: Path) -> bool:
        """Whether trees of other datasets lie beside the one in ``root``, below the folder."""
        return root.parent.parent in {self.top / each for each in self.folders}

    def notice(self, placement: Placement, dataset: str, version: str) -> str | None:
        """What a person should know of where a tree lies; None in the plain place."""
        root, layout = placement.root, placement.layout
        if layout is Layout.PLAIN:
            return None
        if not placement.exists:
            return f"{dataset} {version} comes into {root}, beside what is there already"
        is_ours = read_claim(Tree(root)) is not None
        if layout is Layout.ROOT and is_ours:
            return None
        text = f"going on with the tree {'' if is_ours else 'that wget left '}in {root}"
        if layout is Layout.FILES:
            text = f"{self.top} is a part of the tree in {root}: going on with that"
        if identity_of(root, dataset) is None:
            text += f"; nothing there tells its version: it is taken for {version}"
        return text

    def refuse_file(self) -> None:
        """Raise UsageError where it is something else than a folder."""
        if os.path.exists(self.path) and not os.path.isdir(self.path):
            above = self.top.parent
            other = above if is_version_root(above) else "another folder"
            raise UsageError(
                f"{self.option} {self.path} is not a folder", next_step=f"Say {self.option} {other}"
            )

    # ── inside ─────────────────────────────────────────────────────────────────────────────────

    def _candidates(self, asked: Identity) -> list[Placement]:
        """The places where something of a version lies. Where one of them has the signs of a root,
        those that have none (wget was ended soon) do not count."""
        own = self.own_root()
        if own is not None and read_claim(Tree(own.root)) == asked:
            return [own]  # named as such: what lies in there besides is no matter
        found = [] if own is None else [own]
        if told_by_name(self.top, asked.dataset) == asked:
            found.append(Placement(self.top, Layout.ROOT))
        for folder, layout in self._homes(asked.dataset):
            root = folder / asked.version
            if layout is not Layout.VERSIONS or self._is_version_of(root, asked.dataset):
                found.append(Placement(root, layout))
        found = [each for each in found if _is_begun(each.root)]
        signed = [each for each in found if is_version_root(each.root)]
        return _distinct(signed or found)

    def _homes(self, dataset: str) -> Iterator[tuple[Path, Layout]]:
        """The folders that may hold versions of a dataset, whether they are there or not."""
        for each in self.folders:
            yield self.top / each / dataset, Layout.WGET if each else Layout.PLAIN
        yield self.top, Layout.VERSIONS

    def _versions_in(self, folder: Path, layout: Layout, dataset: str) -> list[str]:
        found = [name for name in names_in(folder) if name[0].isdigit()]
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
        """Whether a version's root without its dataset's folder may be of ``dataset``."""
        told = identity_of(root, dataset)
        return is_version_root(root) and (told is None or told.dataset == dataset)

    def _ambiguous(self, what: str, roots: list[Path]) -> UsageError:
        first, second, *_ = roots
        return UsageError(
            f"{self.option} {self.path} holds {what} twice: in {first} and in {second}",
            next_step=f"Say {self.option} {second} if you mean that; else move it out of there."
            if first in second.parents
            else f"Say {self.option} with the one that you mean, or move the other away.",
        )


def _is_begun(folder: Path) -> bool:
    """Whether there is such a folder, and, as far as we may look, something in it."""
    try:
        return bool(os.listdir(folder))
    except OSError as problem:
        return isinstance(problem, PermissionError) and os.path.isdir(folder)


def _distinct(found: Iterable[Placement]) -> list[Placement]:
    """Each folder once, by the first of its names: one may be a link to another."""
    kept: dict[str, Placement] = {}
    for each in found:
        kept.setdefault(os.path.realpath(each.root), each)
    return list(kept.values())
