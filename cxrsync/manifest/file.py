"""Reads a manifest on the local disk, by line and by offset."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

from cxrsync.manifest.bisect import ManifestNotSorted, Range, path_of, paths_of
from cxrsync.manifest.clashes import NestingDetector
from cxrsync.manifest.key_ranges import ROOT_KEYS, KeyRange, find_slices
from cxrsync.manifest.parse import (
    BYTE_ORDER_MARK,
    MAX_LINE,
    parse_line,
    parse_plain,
)
from cxrsync.model import MANIFEST_NAME, ROOT, Entry, RejectedLine, partition_of

# Into how many parts a round of the bisection divides an interval (with one request fewer). Fixed,
# so that a later run asks for the same ranges, which are on the disk, whatever its connections.
FAN_OUT = 8
WHOLE: tuple[KeyRange, ...] = ((b"", None),)
_SHARD_PREFIX = len("files/p10/")
_MAX_REFUSED_KEPT = 1000
_FIRST_LINES = 100
_PIECE = 1 << 16
_BLOCK = 1 << 16
# Half the time of Entry(), which is a function in Python.
_entry: Callable[[tuple[str, str]], Entry] = partial(tuple.__new__, Entry)
# A line with so many bytes and no newline is too long, whatever follows.
_CUT_AT = MAX_LINE + 2


class EntryBatch(NamedTuple):
    """Entries that follow each other, in ascending order of their paths.

    ``offset``: of the first one's line. ``rest``: how many bytes each line has besides its path, if
    there are several. ``entries``: digest and path of each, which is the order of a line, and costs
    half of what an :class:`Entry` does.
    """

    offset: int
    rest: int
    entries: Sequence[tuple[str, str]]

    def each(self) -> Iterator[tuple[int, Entry]]:
        """Yield each entry with the offset of its line."""
        offset = self.offset
        for sha256, path in self.entries:
            yield offset, _entry((path, sha256))
            offset += self.rest + len(path)


class ManifestFile:
    """A manifest on the local disk, read in byte order of the path.

    A manifest that is not sorted (those of other datasets may not be) is read from a sorted copy,
    which exists as long as this object. With ``slices`` (byte ranges) only these are read, and only
    the paths within ``keys`` are known: elsewhere the file may have holes. Raises ManifestNotSorted
    if slices are not sorted.

    Once it is open, the file may be renamed or replaced. Several readers may read it at the same
    time, because none of them moves the file's position.
    """

    def __init__(
        self,
        path: Path,
        slices: Sequence[Range] | None = None,
        keys: tuple[KeyRange, ...] = WHOLE,
        *,
        opened: IO[bytes] | None = None,
    ) -> None:
        self.path = path
        self.keys = keys
        self.refused: list[RejectedLine] = []
        self.refused_lines = 0
        self._slices = slices
        self._file: IO[bytes] = path.open("rb") if opened is None else opened
        try:
            self._is_sorted, self.partitions, self._folders = _scan(
                _pieces(self._file, self._slices)
            )
        except BaseException:
            self._file.close()
            raise
        if not self._is_sorted and slices is not None:
            self._file.close()
            raise ManifestNotSorted("the manifest is not sorted")
        if not self._is_sorted:
            self._file = _sorted_copy(self._file)
            *_known, self._folders = _scan(_pieces(self._file, self._slices))

    @property
    def whole(self) -> bool:
        """Whether every line is on the disk."""
        return self._slices is None

    @property
    def is_sorted(self) -> bool:
        """Whether the lines of the file were in byte order of the path when it was opened."""
        return self._is_sorted

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def entries(self) -> Iterator[tuple[int, Entry]]:
        """Yield every entry with its offset, as :meth:`batches` finds them."""
        for batch in self.batches():
            yield from batch.each()

    def batches(self) -> Iterator[EntryBatch]:
        """Yield every entry, many at a time. At the end, rejected lines are counted in
        ``refused_lines`` and listed in ``refused``.

        The manifest's own entry and repeated lines are skipped. A path that is listed again with
        another digest is rejected, and so is a path that is a folder of other files.
        """
        refused: list[RejectedLine] = []
        refused_lines = 0
        last = Entry("", "")
        number = 0
        for offset, lines in _pieces(self._file, self._slices):
            if usual := self._usual(lines, last.path):
                rest, found = usual
                yield EntryBatch(offset, rest, found)
                sha256, path = found[-1]
                last = Entry(path, sha256)
                number += len(found)
                continue
            for line in io.BytesIO(lines):
                number += 1
                entry = parse_line(line, 0)
                if isinstance(entry, Entry):
                    is_folder = entry.path in self._folders
                    if entry.path > last.path and entry.path != MANIFEST_NAME and not is_folder:
                        last = entry
                        yield EntryBatch(offset, 0, [(entry.sha256, entry.path)])
                        entry = None
                    elif entry in {last, (MANIFEST_NAME, entry.sha256)}:
                        entry = None
                    else:
                        what = (
                            "a folder of other files" if is_folder else "listed twice, as two files"
                        )
                        entry = RejectedLine(0, f"{entry.path} is {what}")
                offset += len(line)
                if entry is not None:
                    refused_lines += 1
                    if len(refused) < _MAX_REFUSED_KEPT:
                        refused.append(replace(entry, line=number if self.whole else 0))
        self.refused, self.refused_lines = refused, refused_lines

    def _usual(self, lines: bytes, last: str) -> tuple[int, list[tuple[str, str]]] | None:
        """Return what :func:`parse_plain` does, if all lines are entries after ``last``; else
        None."""
        usual = parse_plain(lines)
        if usual is None or not usual[1]:
            return None
        paths = [path for _sha256, path in usual[1]]
        ascending = last < paths[0] and all(map(str.__lt__, paths, islice(paths, 1, None)))
        is_usual = ascending and MANIFEST_NAME not in paths and self._folders.isdisjoint(paths)
        return usual if is_usual else None

    def shares(self, keys: Sequence[KeyRange] | None) -> Callable[[int], float]:
        """Return a function of an entry's offset: the part of the bytes with these keys (None: of
        all) that is before it, from 0 to 1."""
        total = os.fstat(self._file.fileno()).st_size
        slices = ((0, total),) if self._slices is None else self._slices
        if keys is not None and self._slices is None and self._is_sorted:
            with suppress(ManifestNotSorted, LookupError):
                slices = find_slices_on_disk(self._file.fileno(), [(0, total)], keys, total)
        size = sum(stop - start for start, stop in slices) or 1
        return lambda offset: sum(max(0, min(offset, b) - a) for a, b in slices) / size

    def paths(self) -> Iterator[str]:
        """Yield the path of every entry."""
        return (entry.path for _offset, entry in self.entries())

    def root_entries(self) -> list[Entry]:
        """Return the entries outside the shards: a few lines at either end, found by bisection."""
        if self.whole and self._is_sorted:
            total = os.fstat(self._file.fileno()).st_size
            try:
                slices = find_slices_on_disk(self._file.fileno(), [(0, total)], ROOT_KEYS, total)
                again = os.fdopen(os.dup(self._file.fileno()), "rb")
                part = ManifestFile(self.path, slices, ROOT_KEYS, opened=again)
            except ManifestNotSorted:  # lines out of order: read all of them
                pass
            else:
                with closing(part):
                    return [entry for _offset, entry in part.entries()]
        return [entry for _offset, entry in self.entries() if partition_of(entry.path) == ROOT]

    def entries_at(self, offsets: Iterable[int]) -> Iterator[Entry]:
        """Yield the entries whose lines begin at ``offsets``, which :meth:`entries` gave. Ascending
        offsets are read in few pieces."""
        begin, piece = 0, b""
        for offset in offsets:
            at = offset - begin
            end = piece.find(b"\n", at) + 1 if 0 <= at < len(piece) else 0
            if not end:
                begin, at = offset, 0
                piece = os.pread(self._file.fileno(), _PIECE, begin)
                end = piece.find(b"\n") + 1 or len(piece)
            yield _parsed(piece[at:end])

    def entry_at(self, offset: int) -> Entry:
        """Return the entry whose line begins at ``offset``, which :meth:`entries` gave."""
        line = os.pread(self._file.fileno(), MAX_LINE, offset)
        return _parsed(line[: line.find(b"\n") + 1] or line)


def _parsed(line: bytes) -> Entry:
    entry = parse_line(line, 0)
    assert isinstance(entry, Entry)
    return entry


def _lines(file: IO[bytes], slices: Sequence[Range] | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield offsets and lines. A line that is too long is cut, but stays too long."""
    fd = file.fileno()
    for start, stop in [(0, os.fstat(fd).st_size)] if slices is None else slices:
        rest, begin = b"", start  # the beginning of a line, and its offset
        skipping = False
        at = start
        while at < stop and (block := os.pread(fd, min(_BLOCK, stop - at), at)):
            at += len(block)
            for line in io.BytesIO(
                rest + block
            ):  # unlike splitlines, it does not split at a lone CR
                ended = line.endswith(b"\n")
                if not ended and len(line) <= _CUT_AT:
                    rest = line
                    break
                if not skipping:
                    yield begin, line if ended else line[:_CUT_AT]
                rest, skipping = b"", not ended
                begin += len(line)
        if rest and not skipping:
            yield begin, rest


def _pieces(file: IO[bytes], slices: Sequence[Range] | None) -> Iterator[tuple[int, bytes]]:
    """Yield offsets and whole lines, many at a time; the last line may lack its newline. A line
    that is too long may be cut, but stays too long."""
    fd = file.fileno()
    for start, stop in [(0, os.fstat(fd).st_size)] if slices is None else slices:
        at = start
        while at < stop and (block := os.pread(fd, min(_BLOCK, stop - at), at)):
            end = block.rfind(b"\n") + 1
            if not end:  # the last line, or one that is longer than a block
                yield from _lines(file, [(at, stop)])
                break
            yield at, block[:end]
            at += end


def _scan(pieces: Iterable[tuple[int, bytes]]) -> tuple[bool, frozenset[str], set[str]]:
    """Return whether the lines are sorted, their partitions, and, if they are sorted, the paths
    that are folders of other paths. ``pieces``: whole lines, many at a time."""
    is_sorted = True
    nesting = NestingDetector()
    last = b""
    folders: set[bytes] = set()
    for _offset, lines in pieces:
        paths = paths_of(lines)
        if paths is None:
            paths = [path for path in map(path_of, io.BytesIO(lines)) if path]  # not a blank line
        if paths:
            # To sort what is sorted takes one comparison a path.
            is_sorted = is_sorted and last <= paths[0] and paths == sorted(paths)
            last = paths[-1]
            folders.update({path[:_SHARD_PREFIX] for path in paths})
            nesting.add_all(paths)
    partitions = frozenset(partition_of(folder.decode("utf-8", "replace")) for folder in folders)
    return is_sorted, partitions, nesting.folders


def find_slices_on_disk(
    fd: int, present: Sequence[Range], keys: Sequence[KeyRange], total: int
) -> tuple[Range, ...]:
    """Return the slices of a manifest of which only the byte ranges ``present`` are on the disk.

    Raises LookupError if other bytes are needed, ManifestNotSorted.
    """
    search = find_slices(keys, total, FAN_OUT)
    try:
        ranges = next(search)
        while True:
            for start, stop in ranges:
                if not any(begin <= start and stop <= end for begin, end in present):
                    raise LookupError((start, stop))
            ranges = search.send(tuple(os.pread(fd, stop - start, start) for start, stop in ranges))
    except StopIteration as done:
        slices: tuple[Range, ...] = done.value
        return slices


def _sorted_copy(file: IO[bytes]) -> IO[bytes]:
    """Return a sorted copy (``LC_ALL=C sort -k2``) in a file without a name."""
    copy: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the manifest
    lines = [line if line.endswith(b"\n") else line + b"\n" for _offset, line in _lines(file)]
    # Without the byte order mark: the first line may not stay the first.
    lines[:1] = [line.removeprefix(BYTE_ORDER_MARK) for line in lines[:1]]
    copy.writelines(sorted(lines, key=path_of))
    copy.flush()
    file.close()
    return copy


def looks_like_manifest(path: Path) -> bool:
    """Return whether there is an entry in the first lines. Raises OSError."""
    with path.open("rb") as file:
        lines = islice(_lines(file), _FIRST_LINES)
        return any(isinstance(parse_line(line, 0), Entry) for _offset, line in lines)
