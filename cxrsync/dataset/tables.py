"""The tables that a selection needs: where they lie, that they are as published, their rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from cxrsync.catalog.dataset_info import IMAGES, SPLIT, STUDIES, DatasetInfo
from cxrsync.catalog.load import dataset_info
from cxrsync.config.selection import Selection
from cxrsync.dataset.local_manifest import open_local
from cxrsync.dataset.placement import Location
from cxrsync.dataset.sibling import sibling_of
from cxrsync.dataset.target import Target
from cxrsync.dataset.tree_parts import BESIDE
from cxrsync.errors import CxrsyncError, NotHere, NothingMeant, UsageError
from cxrsync.manifest.csv_reader import read_rows
from cxrsync.manifest.file import ManifestFile
from cxrsync.manifest.key_ranges import ROOT_KEYS
from cxrsync.model import Entry
from cxrsync.sanitize import reason_of
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.tree import Tree


def entry_of(manifest: ManifestFile, dataset: DatasetInfo, role: str) -> Entry | None:
    """The table of a dataset that tells ``role`` (split, metadata, a labeler …), if it has one."""
    glob = dataset.tables.get(role)
    if glob is None:
        return None
    return next((each for each in manifest.root_entries() if fnmatchcase(each.path, glob)), None)


class Tables:
    """The tables of one target: its own, and those of the dataset that has the rest of them."""

    def __init__(self, own: Target, place: Location) -> None:
        self.own = own
        self._place = place

    def target_of(self, role: str) -> Target:
        """The target whose tree holds the table for ``role``, or will hold it.

        Raises UsageError where no dataset is known to have one.
        """
        dataset = self.own.dataset
        if role in dataset.tables:
            return self.own
        if dataset.tables_in and role in dataset_info(dataset.tables_in).tables:
            return sibling_of(self.own, self._place, dataset.tables_in)
        raise UsageError(
            f"{dataset.slug} has no table that tells the {role} of an image",
            next_step="The tables of a dataset are named in a catalogue file: see "
            "configs/datasets.yaml.",
        )

    def find(self, role: str) -> Path | None:
        """The table's file, if it is here and has the digest that its manifest lists."""
        found = (self._find_in(target, role) for target in self._targets(role))
        return next((path for path in found if path is not None), None)

    def _targets(self, role: str) -> Iterator[Target]:
        """Where the table may lie: where this run would put it, then where a run with another
        destination (the version's own folder, or the one that holds the datasets) has put it."""
        target = self.target_of(role)
        yield target
        if target is not self.own:
            tree = self.own.tree
            folders = [tree.own / BESIDE]
            if tree.root.parts[-2:] == (self.own.dataset.slug, self.own.version):
                folders.insert(0, tree.root.parent.parent)
            for folder in folders:
                there = Tree(folder / target.dataset.slug / target.version)
                if there.root != target.tree.root:
                    yield replace(target, tree=there)

    def _find_in(self, target: Target, role: str) -> Path | None:
        try:
            manifest = open_local(target.tree, ROOT_KEYS)
        except CxrsyncError:
            return None
        try:
            entry = entry_of(manifest, target.dataset, role)
        finally:
            manifest.close()
        return None if entry is None else self.verified(target.tree, entry)

    @staticmethod
    def verified(tree: Tree, entry: Entry) -> Path | None:
        """The file of an entry, if it is here and right. A few MB: hashed rather than believed."""
        try:
            right = sha256_file(tree.final(entry.path)) == entry.sha256
        except OSError:
            return None
        return Path(tree.final(entry.path)) if right else None

    @contextmanager
    def rows(
        self, selection: Selection, role: str, columns: Sequence[str]
    ) -> Iterator[Iterator[tuple[str, ...]]]:
        """The rows of the table that tells ``role``, for this selection.

        Raises NotHere, InvalidTable.
        """
        path = Path(selection.split_table) if self.is_given(selection, role) else self.find(role)
        if path is None:
            raise self._absent(role)
        try:
            with path.open("rb") as stream:
                yield read_rows(stream, path.name, columns)
        except OSError as problem:
            raise UsageError(f"cannot read {path}: {reason_of(problem)}") from None

    @staticmethod
    def is_given(selection: Selection, role: str) -> bool:
        """Whether a file of the user's takes the place of the published table."""
        return role == SPLIT and bool(selection.split_table)

    def _absent(self, role: str) -> NotHere:
        target = self.target_of(role)
        return NotHere(
            f"the {role} table of {target.name} is not here: it tells which images are meant",
            next_step="`cxrsync pull` or `cxrsync ls` with the same selection fetches it.",
        )


def lookup_subjects(tables: Tables, selections: Iterable[Selection]) -> dict[str, str]:
    """The subjects of the studies and images that selections name, by a look into the tables.

    Raises UsageError for one that is in no table.
    """
    found: dict[str, str] = {}
    for selection in selections:
        for what, role, column, prefix, ids in (
            ("study", STUDIES, "study_id", "s", selection.studies),
            ("image", IMAGES, "dicom_id", "", selection.images),
        ):
            wanted = set(ids)
            if not wanted:
                continue
            with tables.rows(selection, role, (column, "subject_id")) as rows:
                for each, subject in rows:
                    if prefix + each in wanted:
                        found[prefix + each] = f"p{subject}"
            lacking = sorted(wanted - found.keys())
            if lacking:
                raise unknown_ids(what, lacking, tables.own)
    return found


def unknown_ids(what: str, ids: Sequence[str], target: Target) -> NothingMeant:
    """The error for ids that the dataset does not have."""
    named = ", ".join(ids[:5]) + (f" and {len(ids) - 5:,} more" if len(ids) > 5 else "")
    return NothingMeant(
        f"{target.name} has no {what} {named}",
        next_step="Check the ids, and the version: a later one may have withdrawn some.",
    )
