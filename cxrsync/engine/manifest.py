"""The manifest as a file: fetched whole, kept under its own name, read by line and by offset."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from cxrsync.engine.flight import Flight, fetch_alone
from cxrsync.engine.run import Run
from cxrsync.engine.transfer import Line, Transfer
from cxrsync.errors import BadAnswer, DiskError, UsageError
from cxrsync.manifest.parse import MAX_LINE, parse_line
from cxrsync.model import MANIFEST_NAME, Entry, Ref, Refused, partition_of
from cxrsync.store.layout import Tree, make_folders
from cxrsync.store.lock import Lock
from cxrsync.store.partial import Partial
from cxrsync.store.publish import Ready, publish
from cxrsync.store.threads import in_thread
from cxrsync.store.writing import write_file

_DIGEST_HEX = 64
_SHARD_PREFIX = len("files/p10/")
_MOST_REFUSED_KEPT = 1000
_WAIT_FOR_OTHERS = 3600.0
# Later the run waits for --give-up-after, but a mistyped address should say so at once.
_FIRST_ANSWER_SECONDS = 15.0
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


@dataclass(frozen=True, slots=True)
class _Kept:
    """What we know of the manifest under its final name."""

    source: str
    validator: str | None
    size: int
    mtime_ns: int


async def obtain(run: Run) -> ManifestFile:
    """The version's manifest as it is at the source now; fetched only if it is not here yet.

    Raises NotFound where there is no such version, and what ends a run.
    """
    limits = run.job.limits
    folder = run.tree.own / "manifests"
    flight = Flight()
    line = run.line(flight, min(_FIRST_ANSWER_SECONDS, limits.give_up_after))
    # Its partial has no digest for a name: two runs must not write it at once.
    lock = Lock(folder, wait=_WAIT_FOR_OTHERS, describe="the manifest")
    await in_thread(lambda: lock.acquire(run.stop.flag))
    try:
        transfer = await _begin(run.tree, line, folder, run.ref(MANIFEST_NAME))
        try:
            await fetch_alone(flight, transfer, limits.connections)
            if transfer.complete and not _is_proved(run.tree, transfer):
                await transfer.start_over(transfer.partial.epoch)
                await fetch_alone(flight, transfer, limits.connections)
            if transfer.failed is not None:
                raise transfer.failed
            if not transfer.unchanged:
                await in_thread(lambda: _publish(run.tree, transfer, folder, run.stamp))
        finally:
            await in_thread(transfer.partial.save)
            transfer.partial.close()
    finally:
        await in_thread(lock.release)
    return await in_thread(lambda: ManifestFile(run.tree.manifest))


def open_local(tree: Tree) -> ManifestFile:
    """The manifest that lies in the tree, for whoever only reads. Raises UsageError."""
    try:
        return ManifestFile(tree.manifest)
    except OSError as problem:
        raise UsageError(
            f"{tree.root} holds no {MANIFEST_NAME} ({problem.strerror})",
            next_step="Name the tree with --dest, or run `cxrsync pull` first.",
        ) from None


async def _begin(tree: Tree, line: Line, folder: Path, ref: Ref) -> Transfer:
    kept = _read_kept(folder)
    found = tree.find(MANIFEST_NAME)
    known = (
        kept is not None
        and found is not None
        and (kept.size, kept.mtime_ns) == found
        and kept.source == line.source.identity
    )
    partial = Partial(folder, "partial")
    transfer = Transfer(
        line, ref, partial, skip_if=kept.validator if known and kept is not None else None
    )
    if found is not None and kept is None:
        # wget left one. If the source's has its size and time (wget's own rule) it is that one.
        await in_thread(lambda: _copy(tree.manifest, partial.path))
    await transfer.begin(maybe_there=not known)
    binding = partial.binding
    # No digest will prove these bytes: only a strong validator lets us go on with our own.
    is_ours = kept is not None or found is None
    provable = (
        binding is not None
        and binding.validator is not None
        and binding.source == line.source.identity
    )
    if partial.size and is_ours and not provable:
        await transfer.start_over(partial.epoch)
    return transfer


def _copy(source: Path, target: Path) -> None:
    make_folders(target.parent)
    shutil.copyfile(source, target)
    target.with_name(f"{target.name}.json").unlink(missing_ok=True)


def _is_proved(tree: Tree, transfer: Transfer) -> bool:
    """Whether another tool's manifest, taken for a beginning, is the source's own."""
    binding = transfer.partial.binding
    if not transfer.resumed or binding is None:
        return True
    found = tree.find(MANIFEST_NAME)
    if found is None or _read_kept(transfer.partial.path.parent) is not None:
        return True  # our own bytes, resumed under If-Range
    same_time = binding.modified is not None and int(binding.modified) == found.mtime_ns // 10**9
    return binding.total == found.size and same_time


def _read_kept(folder: Path) -> _Kept | None:
    try:
        return _Kept(**json.loads((folder / "current.json").read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _publish(tree: Tree, transfer: Transfer, folder: Path, stamp: str) -> None:
    """Put the manifest in its place; the one before it is kept."""
    partial = transfer.partial
    binding = partial.binding
    assert binding is not None

    if binding.total and not _looks_like_one(partial.path):
        # A page of HTML with status 200, say. What was here stays.
        partial.discard()
        raise BadAnswer(f"what the server sends as {MANIFEST_NAME} is no manifest")

    def keep(_path: str) -> None:
        if not _same(tree.manifest, partial.path):
            shutil.copy2(tree.manifest, folder / f"{stamp}-{MANIFEST_NAME}")

    [found] = publish(tree, [Ready(Entry(MANIFEST_NAME, ""), partial)], keep)
    if isinstance(found, OSError):
        raise DiskError(f"cannot put {tree.manifest} in place: {found.strerror}") from found
    kept = _Kept(binding.source, binding.validator, found.size, found.mtime_ns)
    write_file(folder / "current.json", json.dumps(asdict(kept)).encode())


def _looks_like_one(path: Path) -> bool:
    """Whether the first lines hold any entry at all."""
    with path.open("rb") as file:
        lines = islice(_lines(file), _LINES_TO_JUDGE)
        return any(isinstance(parse_line(line, 0), Entry) for _offset, line in lines)


def _same(one: Path, other: Path) -> bool:
    def digest(path: Path) -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return digest(one) == digest(other)
