"""``index``: one row for each selected image, with its file and what the tables say about it.

Reads only and takes no lock: a reader of a shared tree can run it, also during a pull. Nothing is
hashed but the tables. Rows are made while they are read: the memory does not grow with their
number.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.config.job import Job
from cxrsync.dataset.image_tables import METADATA_COLUMNS, OwnSplits, image_tables, table_roles
from cxrsync.dataset.metadata_tables import Tables
from cxrsync.dataset.sibling_dataset import sibling_target
from cxrsync.dataset.target import Target
from cxrsync.dataset.version import destination, find_target
from cxrsync.events import EventSink, LeftOut
from cxrsync.manifest.key_ranges import key_ranges_for
from cxrsync.manifest.path_ids import ImageIds
from cxrsync.manifest.sorted_table import SortedTable
from cxrsync.model import MANIFEST_NAME, ROOT, FileRecord, FileStat, Kind, partition_of
from cxrsync.operations.expected_files import Expectation, expectation
from cxrsync.plan.image_index import Column, ColumnType, JoinedImage, Unmatched, join_tables
from cxrsync.plan.survey import Surveyed, survey
from cxrsync.progress_events import Activity, Advanced, Phase
from cxrsync.storage.state_db import State
from cxrsync.storage.tree import Tree

Value = str | int | float | None
Row = tuple[Value, ...]
_FIRST = (
    Column("path"),
    Column("dicom_id"),
    Column("subject_id", ColumnType.WHOLE),
    Column("study_id", ColumnType.WHOLE),
    Column("shard"),
)
_LAST = (
    Column("report_path"),
    Column("size", ColumnType.WHOLE),
    Column("sha256"),
    Column("verified_at", ColumnType.TIME),
)
# Images between two events of progress.
_EACH = 1024
_WHOLE = frozenset(METADATA_COLUMNS[1:])


@dataclass(slots=True)
class ImageIndex:
    """The index of a selection. ``rows`` can be read once.

    A row has a value for each of ``columns``: those of tables are texts as in the table, "" where
    there is none; ids are digits as in the tables; ``verified_at`` is a POSIX time or None.
    """

    target: Target
    columns: tuple[Column, ...]
    rows: Iterator[Row]
    unmatched: Unmatched = field(default_factory=Unmatched)

    def remarks(self) -> list[str]:
        """Return what did not fit together, in sentences without ids. Call it after all rows."""
        lines = []
        for table, count in self.unmatched.images.items():
            if count:
                lines.append(
                    f"{table} has no row for {count:,} of the selected images or studies: its "
                    "columns are empty there"
                )
        for table, count in self.unmatched.rows.items():
            if count:
                rows = f"{count:,} rows of {table} are" if count > 1 else f"1 row of {table} is"
                lines.append(f"{rows} about no image of {self.target.name}")
        return lines


@contextmanager
def image_index(job: Job, emit: EventSink, *, present: bool = False) -> Iterator[ImageIndex]:
    """Yield the index of the images that the job selects, in the order of the manifest.

    ``present``: only the images that are on the disk. A job that selects no tables gets no columns
    of tables.

    Raises: NotFetchedYet if manifest or table have not been downloaded; UsageError if nothing is
    selected; ManifestDamaged, InvalidTable, DiskError.
    """
    target = find_target(job, emit)
    with ExitStack() as stack:
        # What is on the disk was pulled, and its part of the manifest is here, if no more is.
        is_part = target.tree.find(MANIFEST_NAME) is None and job.selection.whole
        everything = not (present and is_part)
        expected = stack.enter_context(expectation(target, job, everything=everything))
        for text in expected.selected.left_out:
            emit(LeftOut(text))
        has_tables = job.selection.tables and table_roles(target.dataset)
        tables = Tables(target, destination(job), expected.manifest)
        own = None
        if job.selection.split_table:
            own = OwnSplits(job.selection, expected.manifest.paths)
        rows = []
        if has_tables:
            rows = stack.enter_context(image_tables(tables, job.partitions, own))
        columns = (*_FIRST, *_table_columns(target.dataset, rows), *_LAST)
        unmatched = Unmatched()
        images = _images(expected, stack, emit, present=present)
        is_whole = job.selection.whole and not present
        joined = join_tables(images, rows, unmatched, to_the_end=is_whole)
        reports = _Reports(target, job)
        yield ImageIndex(
            target,
            columns,
            (_row(each, reports) for each in joined),
            unmatched,
        )


def _table_columns(dataset: DatasetInfo, tables: Sequence[SortedTable]) -> Iterator[Column]:
    """Yield the columns of the tables. Labels have the labeler in front, because all labelers use
    the same names."""
    for role, table in zip(table_roles(dataset) if tables else (), tables, strict=True):
        for name in table.columns:
            if table.by_study:
                yield Column(f"{role}_{name}", ColumnType.NUMBER)
            else:
                yield Column(name, ColumnType.WHOLE if name in _WHOLE else ColumnType.TEXT)


def _images(
    expected: Expectation, stack: ExitStack, emit: EventSink, *, present: bool
) -> Iterator[Surveyed]:
    """Yield the selected images with their records and files."""
    target, selected = expected.target, expected.selected
    kind_of, is_wanted = target.dataset.kind_of, selected.is_wanted
    # One state is open at a time, because each needs 2 MB: shards sort as their paths do.
    shards = sorted(selected.partitions - {ROOT})
    read = [_records(target.tree, shards), _records(target.tree, [ROOT])]
    records = {**dict.fromkeys(shards, read[0]), ROOT: read[1]}
    for each in read:
        stack.callback(each.close)

    def is_image(path: str) -> bool:
        return is_wanted(path) and kind_of(path) is Kind.IMAGES

    emit(Phase(Activity.INDEXING, target.name))
    keys = key_ranges_for(expected.selections, target.dataset, {}) or ()
    share = expected.manifest.shares(keys[1:-1] or None)  # without the root, which has no images
    for number, surveyed in enumerate(survey(expected.manifest, is_image, records, target.tree)):
        if not number % _EACH:
            emit(Advanced(share(surveyed.offset)))
        if not present or isinstance(surveyed.found, FileStat):
            yield surveyed


def _records(tree: Tree, partitions: Sequence[str]) -> Generator[FileRecord, None, None]:
    """Yield the records of some partitions, one after the other."""
    for partition in partitions:
        state = State.read(tree.partition(partition))
        if state is not None:
            with state:
                yield from state.records()


def _row(image: JoinedImage, reports: _Reports) -> Row:
    _offset, entry, _record, _found = image.surveyed
    shard, ids = partition_of(entry.path), image.ids
    first = ("", "", "")
    if ids is not None:
        first = (ids.image, ids.subject.removeprefix("p"), ids.study.removeprefix("s"))
    return (
        entry.path,
        *first,
        "" if shard == ROOT else shard,
        *image.values,
        "" if ids is None else reports.path_of(ids),
        image.size,
        entry.sha256,
        image.verified_at,
    )


class _Reports:
    """Finds the reports on the disk: in the tree itself, or in that of the dataset which has
    them."""

    def __init__(self, target: Target, job: Job) -> None:
        root, dataset = target.tree.root, target.dataset
        self._folder = ""
        if dataset.reports_in and Kind.REPORTS not in dict(dataset.patterns):
            sibling = sibling_target(target, destination(job), dataset.reports_in)
            self._folder = os.path.relpath(sibling.tree.root, root) + "/"
        self._root = f"{root}/"
        is_known = bool(dataset.reports_in) or Kind.REPORTS in dict(dataset.patterns)
        self._is_there = is_known and os.path.isdir(f"{self._root}{self._folder}files")
        self._study = self._found = ""

    def path_of(self, ids: ImageIds) -> str:
        """Return the path of an image's report, from the version's root; "" if it is not there."""
        if not self._is_there:
            return ""
        if ids.study != self._study:
            subject = ids.subject
            path = f"{self._folder}files/{subject[:3]}/{subject}/{ids.study}.txt"
            self._study = ids.study
            self._found = path if os.path.isfile(self._root + path) else ""
        return self._found
