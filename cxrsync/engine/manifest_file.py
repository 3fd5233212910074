"""The manifest as a file on the local disk, read by line and by offset."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from cxrsync.errors import Damaged, UsageError
from cxrsync.manifest.parse import MAX_LINE, parse_line
from cxrsync.model import MANIFEST_NAME, Entry, Refused, partition_of
from cxrsync.store.hashing import digest_of
from cxrsync.store.layout import Tree

CURRENT = "current.json"
_DIGEST_HEX = 64
_SHARD_PREFIX = len("files/p10/")
_MOST_REFUSED_KEPT = 1000
_LINES_TO_JUDGE = 100


class ManifestFile:
    """A manifest on the local disk, in byte order of the path.

    One that is not sorted (other datasets' may not be) is read through a sorted copy, which lives
    as long as this object.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refused: list[Refused] = []
        self.refused_lines = 0
        self._file: IO[bytes] = path.open("rb")
        is_sorted, self.partitions = _look_over(self._file)
        if not is_sorted:
            self._file = _sorted_copy(self._file)

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def entries(self) -> Iterator[tuple[int, Entry]]:
        """Every entry with its offset. What is refused is counted, and told in ``refused``."""
        self.refused.clear()
        self.refused_lines = 0
        last = ""
        for number, (offset, line) in enumerate(_lines(self._file), start=1):
            entry = parse_line(line, number)
            if isinstance(entry, Entry):
                if entry.path > last and entry.path != MANIFEST_NAME:
                    last = entry.path
                    yield offset, entry
                    continue
                reason = "the manifest itself" if entry.path == MANIFEST_NAME else "listed twice"
                entry = Refused(number, reason)
            if entry is not None:
                self.refused_lines += 1
                if len(self.refused) < _MOST_REFUSED_KEPT:
                    self.refused.append(entry)

    def entry_at(self, offset: int) -> Entry:
        """The entry whose line begins at ``offset``, as :meth:`entries` told it."""
        line = os.pread(self._file.fileno(), MAX_LINE, offset)
        entry = parse_line(line[: line.find(b"\n") + 1] or line, 0)
        assert isinstance(entry, Entry)
        return entry


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Offset and line; of a line without end only the first :data:`MAX_LINE` bytes."""
    offset = 0
    file.seek(0)
    while line := file.readline(MAX_LINE + 2):
        yield offset, line
        offset += len(line)
        while not line.endswith(b"\n") and (line := file.readline(MAX_LINE)):
            offset += len(line)


def _path_of(line: bytes) -> bytes:
    # Only the separator goes, as in `parse_line`: one more blank or asterisk is the path's.
    path = line[_DIGEST_HEX + 1 :].rstrip(b"\r\n")
    return path[1:] if path.startswith((b" ", b"*")) else path


def _look_over(file: IO[bytes]) -> tuple[bool, frozenset[str]]:
    """Whether the lines are in order, and which partitions they name."""
    in_order = True
    last = b""
    folders: set[bytes] = set()
    for _offset, line in _lines(file):
        path = _path_of(line)
        if not path:
            continue  # a blank line, or none of a manifest's, puts nothing out of order
        if path < last:
            in_order = False
        last = path
        folders.add(path[:_SHARD_PREFIX])
    return in_order, frozenset(
        partition_of(folder.decode("utf-8", "replace")) for folder in folders
    )


def _sorted_copy(file: IO[bytes]) -> IO[bytes]:
    """``LC_ALL=C sort -k2`` into a file without a name, for this process only."""
    copy: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the manifest
    lines = [line if line.endswith(b"\n") else line + b"\n" for _offset, line in _lines(file)]
    copy.writelines(sorted(lines, key=_path_of))
    copy.flush()
    file.close()
    return copy


def looks_like_one(path: Path) -> bool:
    """Whether the first lines hold any entry at all."""
    with path.open("rb") as file:
        lines = islice(_lines(file), _LINES_TO_JUDGE)
        return any(isinstance(parse_line(line, 0), Entry) for _offset, line in lines)


@dataclass(frozen=True, slots=True)
class Kept:
    """What we know of the manifest under its final name (``current.json``).

    It has no published digest; ``sha256`` is that of the bytes that arrived.
    """

    source: str
    validator: str | None
    size: int
    mtime_ns: int
    sha256: str


def manifests_folder(tree: Tree) -> Path:
    """Where earlier manifests lie, and what is known of the present one."""
    return tree.own / "manifests"


def read_kept(tree: Tree) -> Kept | None:
    """What we know of the manifest in place; None if it is not ours."""
    try:
        return Kept(**json.loads((manifests_folder(tree) / CURRENT).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def open_local(tree: Tree) -> ManifestFile:
    """The manifest that lies in the tree, for whoever only reads.

    Raises UsageError where there is none, Damaged where it is not the one that was fetched.
    """
    mend = "Run `cxrsync pull` again: it fetches the manifest anew, and nothing that is right."
    try:
        kept = read_kept(tree)
        if kept is not None and digest_of(str(tree.manifest)) != kept.sha256:
            raise Damaged(f"{tree.manifest} is not the manifest that was fetched", next_step=mend)
        if not looks_like_one(tree.manifest):
            raise Damaged(f"{tree.manifest} is no manifest", next_step=mend)
        return ManifestFile(tree.manifest)
    except OSError as problem:
        raise UsageError(
            f"{tree.root} holds no {MANIFEST_NAME} ({problem.strerror})",
            next_step="Name the tree with --dest, or run `cxrsync pull` first.",
        ) from None
