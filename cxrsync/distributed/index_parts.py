"""The index of a divided job: each task makes the rows of one partition, and they are put in order.

Rows go to the client in blocks. A block has the rows between two shards at most, so that blocks in
the order of their first paths are the index that one run would write, byte for byte.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import chain, groupby
from threading import Event as ThreadEvent
from typing import IO, Literal

from cxrsync.config.job import Job
from cxrsync.errors import ExitCode, Stopped
from cxrsync.events import EventSink
from cxrsync.operations.index import ImageIndex, Row, image_index
from cxrsync.operations.index_formats import as_csv, as_json_lines, import_pyarrow, write_parquet
from cxrsync.plan.image_index import Column, Unmatched

Form = Literal["csv", "json", "parquet"]


@dataclass(frozen=True, slots=True)
class IndexOrder:
    """What each task of an index makes. ``present``: rows of images on the disk only."""

    form: Form
    present: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that follow each other in the index. ``first``: the path of the first one. ``data``: a
    Parquet file, or compressed lines without a header."""

    first: str
    data: bytes


@dataclass(frozen=True, slots=True)
class IndexPart:
    """The rows of one partition. ``unproven``: how many of the ``rows`` have no proof.
    ``unmatched``: what had no counterpart in the tables."""

    columns: tuple[Column, ...]
    blocks: tuple[Block, ...] = ()
    rows: int = 0
    unproven: int = 0
    unmatched: Unmatched = field(default_factory=Unmatched)

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of a task that has made its part."""
        return ExitCode.COMPLETE


def make_part(job: Job, order: IndexOrder, emit: EventSink, stopped: ThreadEvent) -> IndexPart:
    """Make the rows of the job's partitions. ``stopped``: ends it, when it is set.

    Raises: Stopped, and whatever :func:`image_index` and :func:`write_parquet` raise.
    """
    with image_index(job, emit, present=order.present) as index:
        rows = _Counted(index, stopped)
        blocks = tuple(_blocks(index, rows, order.form))
        return IndexPart(index.columns, blocks, rows.count, rows.unproven, index.unmatched)


class _Counted:
    """The rows of an index; counts them, and those whose image is not proven."""

    def __init__(self, index: ImageIndex, stopped: ThreadEvent) -> None:
        self.count = self.unproven = 0
        self._rows = index.rows
        self._proof = [column.name for column in index.columns].index("verified_at")
        self._stopped = stopped

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            if self._stopped.is_set():
                raise Stopped("stopped as asked")
            self.count += 1
            self.unproven += row[self._proof] is None
            yield row


def _blocks(index: ImageIndex, rows: Iterable[Row], form: Form) -> Iterator[Block]:
    shards = sorted(f"files/{name}/" for name in index.target.dataset.shards)
    for _number, group in groupby(rows, lambda row: bisect_right(shards, str(row[0]))):
        first = next(group)
        yield Block(str(first[0]), _packed(index.columns, chain([first], group), form))  # noqa: B031 - put back


def _packed(columns: Sequence[Column], rows: Iterator[Row], form: Form) -> bytes:
    if form == "parquet":
        file = BytesIO()
        write_parquet(columns, rows, file)
        return file.getvalue()
    lines = as_json_lines(columns, rows) if form == "json" else as_csv(columns, rows)
    if form == "csv":
        next(lines)  # the header, which is written once
    packing = zlib.compressobj(level=1)
    packed = [packing.compress(f"{line}\n".encode("utf-8", "surrogateescape")) for line in lines]
    return b"".join([*packed, packing.flush()])


def merged_part(parts: Sequence[IndexPart]) -> IndexPart:
    """Return the whole index from its parts, with the blocks in order. At least one is needed."""
    unmatched = Unmatched()
    for part in parts:
        for mine, theirs in (
            (unmatched.images, part.unmatched.images),
            (unmatched.rows, part.unmatched.rows),
        ):
            for table, count in theirs.items():
                mine[table] = mine.get(table, 0) + count
    return IndexPart(
        parts[0].columns,
        tuple(sorted((each for part in parts for each in part.blocks), key=lambda one: one.first)),
        sum(part.rows for part in parts),
        sum(part.unproven for part in parts),
        unmatched,
    )


def text_of(whole: IndexPart, form: Form) -> Iterator[bytes]:
    """Yield an index of lines, in pieces that end with a newline."""
    if form == "csv":
        yield f"{next(as_csv(whole.columns, ()))}\n".encode()
    for block in whole.blocks:
        yield zlib.decompress(block.data)


def write_joined(whole: IndexPart, form: Form, file: IO[bytes]) -> None:
    """Write an index. Raises OSError; UsageError if it is Parquet and pyarrow is not installed."""
    if form != "parquet":
        for text in text_of(whole, form):
            file.write(text)
        return
    _pa, _csv, parquet = import_pyarrow()
    if not whole.blocks:
        write_parquet(whole.columns, (), file)
        return
    writer = None
    try:
        for block in whole.blocks:
            source = parquet.ParquetFile(BytesIO(block.data))
            if writer is None:
                writer = parquet.ParquetWriter(file, source.schema_arrow, compression="zstd")
            for group in range(source.num_row_groups):
                writer.write_table(source.read_row_group(group))
    finally:
        if writer is not None:
            writer.close()
