"""``index --as``: files that public loaders of images read as they stand.

torchxrayvision's ``MIMIC_Dataset`` joins a table of labels with the metadata, in their published
form. It gets both, with the rows of the selected images only: it would fail at an image that is not
there. The ``imagefolder`` of Hugging Face's ``datasets`` reads ``metadata.jsonl``, whose column
``file_name`` is the path of an image from the folder of that file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from cxrsync.catalog.dataset_info import METADATA
from cxrsync.config.job import Job
from cxrsync.dataset.image_tables import find_table
from cxrsync.dataset.metadata_tables import Tables
from cxrsync.dataset.version import destination
from cxrsync.errors import UsageError
from cxrsync.manifest.csv_reader import InvalidTable, read_all_columns
from cxrsync.manifest.path_ids import image_key, study_key
from cxrsync.operations.index import ImageIndex, Row
from cxrsync.operations.index_formats import csv_line
from cxrsync.plan.image_index import Column

METADATA_LINES = "metadata.jsonl"


def as_image_folder(index: ImageIndex, folder: Path) -> tuple[tuple[Column, ...], Iterator[Row]]:
    """Return the columns and rows of ``metadata.jsonl`` in a folder.

    The first column is ``file_name`` instead of ``path``. The loader takes only images below the
    folder: it is the version's folder, one above it, or one with a link ``files`` to its files.

    Raises: UsageError for another folder.
    """
    start = _start(Path(os.path.realpath(index.target.tree.root)), Path(os.path.realpath(folder)))
    if start is None:
        root = index.target.tree.root
        raise UsageError(
            f"--output {folder}: this loader takes only images below the folder of metadata.jsonl",
            next_step=f"Name {root}, or a folder above it; or link the images into this one: "
            f"ln -s {root}/files {folder}/files",
        )
    columns = (Column("file_name"), *index.columns[1:])
    return columns, ((f"{start}{row[0]}", *row[1:]) for row in index.rows)


def _start(root: Path, folder: Path) -> str | None:
    """Return what the paths of a version have in front in a folder; None if they are not in it."""
    if os.path.realpath(folder / "files") == str(root / "files"):
        return ""
    return f"{root.relative_to(folder)}/" if root.is_relative_to(folder) else None


def without_tables(job: Job) -> Job:
    """Return the job of an index that has no columns of tables."""
    return replace(job, selection=replace(job.selection, tables=False))


def as_published_tables(index: ImageIndex, job: Job) -> Iterator[tuple[str, Iterator[str]]]:
    """Yield the names and lines of the tables that ``MIMIC_Dataset`` joins: the labels of the job's
    labeler, then the metadata. Columns and values are as published; rows are those of the index.

    Raises: NotFetchedYet if a table has not been downloaded, UsageError, InvalidTable.
    """
    images, studies = set(), set()
    for row in index.rows:
        images.add(image_key(str(row[1])))
        studies.add(study_key(str(row[3])))
    tables = Tables(index.target, destination(job))
    for role, column, is_wanted in (
        (job.selection.labeler, "study_id", lambda text: study_key(text) in studies),
        (METADATA, "dicom_id", lambda text: image_key(text) in images),
    ):
        path = find_table(tables, role)
        yield path.name.removesuffix(".gz"), _lines(path, column, is_wanted)


def _lines(path: Path, column: str, is_wanted: Callable[[str], bool]) -> Iterator[str]:
    with path.open("rb") as stream:
        rows = read_all_columns(stream, path.name)
        header = [name.strip() for name in next(rows, [])]
        if column not in header:
            raise InvalidTable(path.name, f"has no column {column}")
        at = header.index(column)
        yield csv_line(header)
        for row in rows:
            if is_wanted(row[at]):
                yield csv_line(row)
