"""The tables that a selection needs: find them, verify them, read their rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from cxrsync.catalog.dataset_info import IMAGES, SPLIT, STUDIES, DatasetInfo
from cxrsync.catalog.load import dataset_info
from cxrsync.config.selection import Selection
from cxrsync.dataset.local_manifest import open_local
from cxrsync.dataset.nested_trees import SIBLINGS_FOLDER
from cxrsync.dataset.sibling_dataset import sibling_target
from cxrsync.dataset.target import Target
from cxrsync.dataset.tree_location import Location
from cxrsync.dataset.unknown_names import unknown_error
from cxrsync.errors import CxrsyncError, NotFetchedYet, UsageError
from cxrsync.manifest.csv_reader import read_rows
from cxrsync.manifest.file import ManifestFile
from cxrsync.manifest.key_ranges import ROOT_KEYS
from cxrsync.manifest.split_table import read_split_table
from cxrsync.model import Entry
from cxrsync.sanitize import reason_of
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.tree import Tree


def table_entry(manifest: ManifestFile, dataset: DatasetInfo, role: str) -> Entry | None:
    """Return the entry of the table for ``role`` (split, metadata, a labeler …); None if the
    manifest lists none."""
    return _entry_for(manifest.root_entries(), dataset, role)


def _entry_for(entries: Iterable[Entry], dataset: DatasetInfo, role: str) -> Entry | None:
    glob = dataset.tables.get(role)
    if glob is None:
        return None
    return next((each for each in entries if fnmatchcase(each.path, glob)), None)


class Tables:
    """The tables of one target, some of which are in the tree of a sibling dataset."""

    def __init__(
        self, target: Target, location: Location, manifest: ManifestFile | None = None
    ) -> None:
        """``manifest``: that of the target, if it is open already and whole: opening it reads all
        of it."""
        self.target = target
        self._location = location
        self._manifest = manifest if manifest is not None and manifest.whole else None

    def target_of(self, role: str) -> Target:
        """Return the target whose tree holds the table for ``role``, or will hold it.

        Raises: UsageError if no dataset is known to have such a table.
        """
        dataset = self.target.dataset
        if role in dataset.tables:
            return self.target
        if dataset.tables_in and role in dataset_info(dataset.tables_in).tables:
            return sibling_target(self.target, self._location, dataset.tables_in)
        raise UsageError(
            f"{dataset.slug} has no table with the {role} of each image",
            next_step="A catalogue file names the tables of a dataset: see configs/datasets.yaml.",
        )

    def find(self, role: str) -> Path | None:
        """Return the table's file; None if no local file has the digest that the manifest lists."""
        return self.find_all([role])[role]

    def find_all(self, roles: Iterable[str]) -> dict[str, Path | None]:
        """Return the file of each table, as :meth:`find` does. Each manifest is opened once: that
        reads the whole of it."""
        listed: dict[Path, list[Entry]] = {}
        found: dict[str, Path | None] = {}
        for role in roles:
            paths = (self._find_in(target, role, listed) for target in self._targets(role))
            found[role] = next((path for path in paths if path is not None), None)
        return found

    def _targets(self, role: str) -> Iterator[Target]:
        """Yield the targets that may hold the table.

        First the one that this run would fetch it into; then those of runs with another
        destination: the version's own folder, or the folder that holds the datasets.
        """
        target = self.target_of(role)
        yield target
        if target is not self.target:
            tree = self.target.tree
            folders = [tree.own / SIBLINGS_FOLDER]
            if tree.root.parts[-2:] == (self.target.dataset.slug, self.target.version):
                folders.insert(0, tree.root.parent.parent)
            for folder in folders:
                other = Tree(folder / target.dataset.slug / target.version)
                if other.root != target.tree.root:
                    yield replace(target, tree=other)

    def _find_in(self, target: Target, role: str, listed: dict[Path, list[Entry]]) -> Path | None:
        """``listed``: the files in the root of each tree that was looked at, by its root."""
        root = target.tree.root
        if root not in listed and self._manifest is not None and target == self.target:
            listed[root] = self._manifest.root_entries()
        elif root not in listed:
            try:
                with closing(open_local(target.tree, ROOT_KEYS)) as manifest:
                    listed[root] = manifest.root_entries()
            except CxrsyncError:
                listed[root] = []
        entry = _entry_for(listed[root], target.dataset, role)
        return None if entry is None else self.find_verified(target.tree, entry)

    @staticmethod
    def find_verified(tree: Tree, entry: Entry) -> Path | None:
        """Return the file of an entry; None if it is missing or has another digest.

        It is hashed whatever the state records: it has a few MB, and decides what is selected.
        """
        try:
            is_verified = sha256_file(tree.final(entry.path)) == entry.sha256
        except OSError:
            return None
        return Path(tree.final(entry.path)) if is_verified else None

    @contextmanager
    def own_splits(self, selection: Selection) -> Iterator[Iterator[tuple[str, str]]]:
        """Yield image and split of the rows of the table that the selection names.

        Raises: UsageError if it cannot be read, InvalidTable.
        """
        path = Path(selection.split_table)
        try:
            with path.open("rb") as stream:
                yield read_split_table(stream, path.name)
        except OSError as problem:
            raise _unreadable(path, problem) from None

    @contextmanager
    def rows(
        self, selection: Selection, role: str, columns: Sequence[str]
    ) -> Iterator[Iterator[tuple[str, ...]]]:
        """Yield the rows of the table for ``role``, reduced to ``columns``.

        Raises: NotFetchedYet if the table is not in a local tree, UsageError if it cannot be read,
        InvalidTable.
        """
        path = Path(selection.split_table) if self.is_given(selection, role) else self.find(role)
        if path is None:
            raise self._missing_table_error(role)
        try:
            with path.open("rb") as stream:
                yield read_rows(stream, path.name, columns)
        except OSError as problem:
            raise _unreadable(path, problem) from None

    @staticmethod
    def is_given(selection: Selection, role: str) -> bool:
        """Return whether the selection names a file to use instead of the published table."""
        return role == SPLIT and bool(selection.split_table)

    def _missing_table_error(self, role: str) -> NotFetchedYet:
        target = self.target_of(role)
        return NotFetchedYet(
            f"the {role} table of {target.name}, which this selection needs, has not been "
            "downloaded",
            next_step="Run `cxrsync pull` or `cxrsync ls` with the same selection: it fetches the "
            "table.",
        )


def _unreadable(path: Path, problem: OSError) -> UsageError:
    return UsageError(
        f"cannot read {path}: {reason_of(problem)}",
        next_step="Check that you may read it. A published table that its disk cannot read any "
        "more is fetched again by `cxrsync verify --repair`.",
    )


def lookup_subjects(tables: Tables, selections: Iterable[Selection]) -> dict[str, str]:
    """Return the subject of each study and image that the selections name, as the tables list them.

    Raises: EmptySelection if a study or image is in no table, unless the selection skips it;
    UsageError, NotFetchedYet, InvalidTable.
    """
    subjects: dict[str, str] = {}
    for selection in selections:
        for id_kind, role, column, prefix, ids in (
            ("study", STUDIES, "study_id", "s", selection.studies),
            ("image", IMAGES, "dicom_id", "", selection.images),
        ):
            wanted = set(ids)
            if not wanted:
                continue
            with tables.rows(selection, role, (column, "subject_id")) as rows:
                for each, subject in rows:
                    if prefix + each in wanted:
                        subjects[prefix + each] = f"p{subject}"
            unknown = sorted(wanted - subjects.keys())
            if len(unknown) == len(wanted) or (unknown and not selection.skip_unknown):
                raise unknown_error(id_kind, unknown, len(wanted), tables.target)
    return subjects
