"""The tables that describe each image or study: split, metadata, and the labels.

They are the published ones. The split may come from the user's own table instead, which knows
images by their id alone: its rows get the keys of the published tables here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cxrsync.catalog.dataset_info import METADATA, SPLIT, DatasetInfo
from cxrsync.catalog.load import dataset_info
from cxrsync.config.selection import Selection
from cxrsync.dataset.metadata_tables import Tables
from cxrsync.errors import DiskError, NotFetchedYet, UsageError
from cxrsync.manifest.csv_reader import InvalidTable, column_names, read_rows
from cxrsync.manifest.path_ids import image_key, parse_image_path
from cxrsync.manifest.sorted_table import (
    SortedTable,
    TemporaryFileFailed,
    image_path_key,
    shard_of_key,
)
from cxrsync.sanitize import reason_of

# The columns of the metadata that the index has, where the table has them.
METADATA_COLUMNS = ("ViewPosition", "Rows", "Columns")
_STUDY_IDS = ("subject_id", "study_id")
_IMAGE_IDS = (*_STUDY_IDS, "dicom_id")


def tables_dataset(dataset: DatasetInfo) -> DatasetInfo:
    """Return the dataset that has the tables about the images of ``dataset``: it, or another."""
    if METADATA in dataset.tables or SPLIT in dataset.tables or not dataset.tables_in:
        return dataset
    return dataset_info(dataset.tables_in)


def table_roles(dataset: DatasetInfo) -> tuple[str, ...]:
    """Return the roles of the tables about the images of a dataset: splits, metadata, labelers."""
    info = tables_dataset(dataset)
    return (*(role for role in (SPLIT, METADATA) if role in info.tables), *info.labelers)


@dataclass(frozen=True, slots=True)
class OwnSplits:
    """The user's own table of splits, which ``selection`` names. ``paths``: yields the path of
    each file of the version, in order."""

    selection: Selection
    paths: Callable[[], Iterator[str]]


@contextmanager
def image_tables(
    tables: Tables, partitions: frozenset[str] = frozenset(), own: OwnSplits | None = None
) -> Iterator[list[SortedTable]]:
    """Yield all tables about the images of a target, in the order of :func:`table_roles`.

    ``partitions``: only the rows about images that lie in them; empty for all. ``own``: the splits
    are from this table instead of the published one.

    Raises: NotFetchedYet if one of them is in no local tree; UsageError if it cannot be read;
    InvalidTable; DiskError if the folder for temporary files is full.
    """
    is_in = tables.target.dataset.is_in_partitions

    def is_wanted(key: str) -> bool:
        return is_in(shard_of_key(key), partitions)

    keep = is_wanted if partitions else None
    with ExitStack() as stack:
        roles = table_roles(tables.target.dataset)
        found = tables.find_all(role for role in roles if own is None or role != SPLIT)
        if missing := [role for role, path in found.items() if path is None]:
            raise _missing_error(tables, missing)
        if own is not None and SPLIT in roles:
            found[SPLIT] = Path(own.selection.split_table)
        yield [
            stack.enter_context(_sorted(path, _reader(path, role, tables, keep, own)))
            for role in roles
            if (path := found[role]) is not None
        ]


def _reader(
    path: Path,
    role: str,
    tables: Tables,
    is_wanted: Callable[[str], bool] | None,
    own: OwnSplits | None,
) -> Callable[[], SortedTable]:
    if own is not None and role == SPLIT:
        return partial(_read_own_splits, tables, own)
    return partial(_read, path, role, tables_dataset(tables.target.dataset), is_wanted)


@contextmanager
def _sorted(path: Path, read: Callable[[], SortedTable]) -> Iterator[SortedTable]:
    """Yield the table that ``read`` returns, and close it afterwards."""
    try:
        with closing(read()) as table:
            yield table
    except (TemporaryFileFailed, sqlite3.Error) as failed:
        problem = failed.problem if isinstance(failed, TemporaryFileFailed) else failed
        raise DiskError(
            f"cannot sort the rows of {path.name}: {reason_of(problem)}",
            next_step="The folder for temporary files needs 200 MB: make room there, or name "
            "another one in the variable TMPDIR.",
        ) from None


def _read(
    path: Path, role: str, dataset: DatasetInfo, is_wanted: Callable[[str], bool] | None
) -> SortedTable:
    by_study = role not in {SPLIT, METADATA}
    ids = _STUDY_IDS if by_study else _IMAGE_IDS
    try:
        with path.open("rb") as stream:
            columns = _columns(role, dataset, column_names(stream, path.name))
            stream.seek(0)
            rows = read_rows(stream, path.name, (*ids, *columns))
            if by_study:
                # As study_row_key() and image_row_key(): a call for each row would take as long.
                keyed = ((f"p{row[0]}/s{row[1]}/", *row[2:]) for row in rows)
            else:
                keyed = ((f"p{row[0]}/s{row[1]}/{row[2]}.", *row[3:]) for row in rows)
            if is_wanted is not None:
                keyed = (row for row in keyed if is_wanted(row[0]))
            return SortedTable.of_rows(path.name, columns, keyed, by_study=by_study)
    except OSError as problem:
        raise UsageError(
            f"cannot read {path}: {reason_of(problem)}",
            next_step="Check that you may read it. A published table that its disk cannot read any "
            "more is fetched again by `cxrsync verify --repair`.",
        ) from None


def _read_own_splits(tables: Tables, own: OwnSplits) -> SortedTable:
    """Return the user's own splits as a table with the keys of the published ones."""
    name = Path(own.selection.split_table).name
    with closing(sqlite3.connect("", isolation_level=None)) as splits:
        splits.execute("PRAGMA journal_mode = OFF")
        splits.execute("CREATE TABLE split (image BLOB PRIMARY KEY, name TEXT) WITHOUT ROWID")
        # An image that has two splits gets none.
        add = "INSERT INTO split VALUES (?, ?) ON CONFLICT DO UPDATE SET name = CASE name WHEN "
        add += "excluded.name THEN name END"
        with tables.own_splits(own.selection) as rows:
            splits.execute("BEGIN")
            splits.executemany(add, ((image_key(image), split) for image, split in rows))
            splits.execute("COMMIT")
        if splits.execute("SELECT 1 FROM split WHERE name IS NULL").fetchone():
            raise InvalidTable(name, "has an image in two splits")
        find = splits.cursor()

        def keyed() -> Iterator[tuple[str, str]]:
            for ids in map(parse_image_path, own.paths()):
                if ids is not None and ids.image:
                    find.execute("SELECT name FROM split WHERE image = ?", (image_key(ids.image),))
                    if (split := find.fetchone()) is not None:
                        yield image_path_key(ids), split[0]

        return SortedTable.of_rows(name, ("split",), keyed(), by_study=False)


def _columns(role: str, dataset: DatasetInfo, names: Sequence[str]) -> tuple[str, ...]:
    if role == SPLIT:
        return ("split",)
    if role == METADATA:
        return tuple(name for name in METADATA_COLUMNS if name in names)
    return dataset.labels


def find_table(tables: Tables, role: str) -> Path:
    """Return the file of the table for ``role``. Raises NotFetchedYet, UsageError."""
    path = tables.find(role)
    if path is None:
        raise _missing_error(tables, [role])
    return path


def _missing_error(tables: Tables, roles: Sequence[str]) -> NotFetchedYet:
    target = tables.target_of(roles[0])
    named = f"--{target.dataset.alias}" if target.dataset.alias else target.dataset.slug
    many = len(roles) > 1
    return NotFetchedYet(
        f"the table{'s' if many else ''} {', '.join(roles)} of {target.name} "
        f"{'have' if many else 'has'} not been downloaded",
        next_step=f"`cxrsync pull {named} --metadata-only` brings the tables; --no-tables leaves "
        "out their columns.",
    )
