"""Reads a user's own table of splits: CSV, TSV, or JSON as R2Gen's ``annotation.json``.

The columns may have other names than those of the published table, and images may be paths.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from cxrsync.config.id_forms import IMAGE, PATH_COLUMNS
from cxrsync.config.id_list import first_line
from cxrsync.config.json_list import json_splits
from cxrsync.manifest.csv_reader import InvalidTable, read_rows
from cxrsync.sanitize import reason_of
from cxrsync.utf8_stream import UnreadableStream, utf8_pieces

_IMAGES = (*IMAGE.columns, *PATH_COLUMNS)
_SPLITS = ("split", "set", "subset", "fold", "partition", "splits")


def read_split_table(stream: BinaryIO, name: str) -> Iterator[tuple[str, str]]:
    """Yield image and split of each row of a file, which is read from its start.

    ``name`` is for messages. Raises InvalidTable during the iteration.
    """
    try:
        header = first_line(utf8_pieces(stream))
        stream.seek(0)
        if header.values[:1] and header.values[0][:1] in {"{", "["}:
            rows = json_splits(b"".join(utf8_pieces(stream)), _IMAGES, _SPLITS)
            if rows is None:
                raise InvalidTable(name, "its JSON is damaged, or has no images by split")
            yield from _with_ids(rows)
            return
    except UnreadableStream as problem:
        raise InvalidTable(name, reason_of(problem)) from None
    images, splits = (_spelled(header.values, header.position(each)) for each in (_IMAGES, _SPLITS))
    columns = (images or "dicom_id", splits or "split")
    yield from _with_ids((row[0], row[1]) for row in read_rows(stream, name, columns))


def _spelled(names: Sequence[str], position: int | None) -> str | None:
    return None if position is None else names[position]


def _with_ids(rows: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    return ((IMAGE.parse(image) or image, split) for image, split in rows)
