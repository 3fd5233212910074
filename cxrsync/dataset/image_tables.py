"""The published tables that describe each image or study: split, metadata, and the labels."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from cxrsync.catalog.dataset_info import METADATA, SPLIT, DatasetInfo
from cxrsync.catalog.load import dataset_info
from cxrsync.dataset.metadata_tables import Tables
from cxrsync.errors import DiskError, NotFetchedYet, UsageError
from cxrsync.manifest.csv_reader import column_names, read_rows
from cxrsync.manifest.sorted_table import (
    SortedTable,
    image_row_key,
    shard_of_key,
    study_row_key,
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


@contextmanager
def image_tables(
    tables: Tables, partitions: frozenset[str] = frozenset()
) -> Iterator[list[SortedTable]]:
    """Yield all tables about the images of a target, in the order of :func:`table_roles`.

    ``partitions``: only the rows about images that lie in them; empty for all.

    Raises: NotFetchedYet if one of them is in no local tree; UsageError if it cannot be read;
    InvalidTable; DiskError if the folder for temporary files is full.
    """
    is_in = tables.target.dataset.is_in_partitions

    def is_wanted(key: str) -> bool:
        return is_in(shard_of_key(key), partitions)

    with ExitStack() as stack:
        found = tables.find_all(table_roles(tables.target.dataset))
        if missing := [role for role, path in found.items() if path is None]:
            raise _missing_error(tables, missing)
        yield [
            stack.enter_context(
                _sorted(
                    path,
                    role,
                    tables_dataset(tables.target.dataset),
                    is_wanted if partitions else None,
                )
            )
            for role, path in found.items()
            if path is not None
        ]


@contextmanager
def _sorted(
    path: Path, role: str, dataset: DatasetInfo, is_wanted: Callable[[str], bool] | None
) -> Iterator[SortedTable]:
    """Yield the table of a role with its rows sorted, from its file."""
    try:
        with closing(_read(path, role, dataset, is_wanted)) as table:
            yield table
    except sqlite3.Error as problem:
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
                keyed = ((study_row_key(row[0], row[1]), *row[2:]) for row in rows)
            else:
                keyed = ((image_row_key(*row[:3]), *row[3:]) for row in rows)
            if is_wanted is not None:
                keyed = (row for row in keyed if is_wanted(row[0]))
            return SortedTable.of_rows(path.name, columns, keyed, by_study=by_study)
    except OSError as problem:
        raise UsageError(
            f"cannot read {path}: {reason_of(problem)}",
            next_step="Check that you may read it. A published table that its disk cannot read any "
            "more is fetched again by `cxrsync verify --repair`.",
        ) from None


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
