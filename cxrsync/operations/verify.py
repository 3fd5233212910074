"""Verify a tree: hash its files again, and find missing, bad, unreadable and extra files.

Reads only, and takes no lock: a reader of a shared mirror can run it during a pull.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from cxrsync.dataset.copies import copies_root
from cxrsync.dataset.partition_states import known_mismatches
from cxrsync.errors import DiskError, ExitCode
from cxrsync.events import Checked, EventSink, Finding, Notice, Planned
from cxrsync.manifest.key_ranges import is_in_key_ranges
from cxrsync.model import MANIFEST_NAME, CopyRecord, Entry, FileStat, partition_of
from cxrsync.operations.exit_status import Ending, exit_status
from cxrsync.operations.expected_files import Expectation
from cxrsync.progress_events import Activity, Expected, Phase
from cxrsync.sanitize import reason_of
from cxrsync.sorted_merge import merge_join
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.filesystem import reading_error
from cxrsync.storage.parallel_hash import map_on_all_cores
from cxrsync.storage.plain_table import is_plain_copy
from cxrsync.threads import run_in_thread


@dataclass(slots=True)
class Verification:
    """The result of a verification, in files and bytes.

    ``acknowledged``: missing files whose mismatch the user has acknowledged. ``extra``: files that
    the manifest does not list; ``unselected``: those that it lists, and that are not expected.
    ``unpacked``: tables that --gunzip-tables has unpacked. ``derived``: files that smaller copies
    have replaced, whose copies are right; ``derived_bytes``: of the copies.
    ``index_pages``: the pages that wget leaves in the tree; they are harmless.
    """

    selection: str
    selected: int = 0
    good: int = 0
    good_bytes: int = 0
    bad: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    missing: int = 0
    acknowledged: int = 0
    extra: int = 0
    unpacked: int = 0
    unselected: int = 0
    index_pages: int = 0
    refused_lines: int = 0
    derived: int = 0
    derived_bytes: int = 0

    @property
    def exit_code(self) -> ExitCode:
        """The exit code: 0 if every expected file is there and right. Extra files are no fault; a
        file that cannot be read counts as failed."""
        return exit_status(
            Ending(
                mismatched=len(self.bad),
                failed=self.missing + len(self.unreadable),
                refused_lines=self.refused_lines,
            )
        )

    def as_json(self) -> dict[str, object]:
        """Return the result under the keys of the JSON output."""
        return {
            "selection": self.selection,
            "files": {
                "selected": self.selected,
                "good": self.good,
                "bad": len(self.bad),
                "unreadable": len(self.unreadable),
                "missing": self.missing,
                "acknowledged": self.acknowledged,
                "extra": self.extra,
                "unselected": self.unselected,
                "unpacked": self.unpacked,
                "index_pages": self.index_pages,
                "refused": self.refused_lines,
                "derived": self.derived,
            },
            "bytes": {"good": self.good_bytes, "derived": self.derived_bytes},
            "exit_code": int(self.exit_code),
        }


async def verify(
    expected: Expectation,
    emit: EventSink,
    acknowledged: frozenset[tuple[str, str]] = frozenset(),
) -> Verification:
    """Hash every expected file again, on every core.

    ``acknowledged``: path and observed digest of mismatches. If a pull has recorded the same
    mismatch, the file is not counted as missing.

    Raises: DiskError for an error of the whole disk.
    """
    tree = expected.target.tree
    expected_missing = {path for path, observed in acknowledged & known_mismatches(tree)}
    if expected.only_present:
        emit(
            Notice(
                "this tree does not record what was pulled: only the files that are there are "
                "checked"
            )
        )
    manifest = expected.manifest
    emit(Phase(Activity.PLANNING, expected.target.name))
    present = size = 0
    for surveyed in expected.without_records():
        if isinstance(surveyed.found, FileStat):
            present += 1
            size += surveyed.found.size
        elif surveyed.record is not None and surveyed.record.copy is not None:
            present += 1
            size += surveyed.record.copy.size
    emit(Phase(Activity.VERIFYING, expected.target.name))
    emit(Expected(size))
    emit(Planned(present, 0, 0, 0, present, refused_lines=manifest.refused_lines))
    verifier = _Verifier(expected, emit, expected_missing)
    result = verifier.result
    result.refused_lines = manifest.refused_lines
    await map_on_all_cores(verifier.present_files(), verifier.hash, verifier.judge)
    if verifier.disk_error is not None:
        raise verifier.disk_error
    own = expected.partitions
    for path, is_listed in unexpected_files(expected):
        if not expected.target.dataset.is_in_partitions(partition_of(path), own):
            continue
        if is_listed:
            result.unselected += 1
        elif path.rpartition("/")[2].startswith("index.html"):
            result.index_pages += 1
        elif await run_in_thread(partial(is_plain_copy, tree, path)):
            result.unpacked += 1
        else:
            result.extra += 1
            emit(Checked(path, Finding.EXTRA))
    return result


@dataclass(frozen=True, slots=True)
class _FileToHash:
    """A file that is there; or ``copy``, which has replaced it."""

    entry: Entry
    size: int
    copy: CopyRecord | None = None


class _Verifier:
    """Check one file after the other. ``disk_error``: an error of the whole disk, which ends the
    verification."""

    def __init__(self, expected: Expectation, emit: EventSink, expected_missing: set[str]) -> None:
        self.result = Verification(expected.description)
        self.disk_error: DiskError | None = None
        self._tree = expected.target.tree
        self._expected = expected
        self._emit = emit
        self._expected_missing = expected_missing

    def present_files(self) -> Iterator[_FileToHash]:
        """Yield the files that are there, or their smaller copies; record the result of the
        others."""
        for _offset, entry, record, found in self._expected.without_records():
            if self.disk_error is not None:
                return
            if isinstance(found, FileStat):
                yield _FileToHash(entry, found.size)
            elif found is None and record is not None and record.copy is not None:
                yield _FileToHash(entry, record.copy.size, record.copy)
            elif isinstance(found, OSError):
                self._record_read_error(entry.path, found)
            elif entry.path in self._expected_missing:
                self.result.acknowledged += 1
                self.result.selected += 1
            else:
                self._record_missing(entry.path)

    def hash(self, item: _FileToHash) -> str:
        """Return the digest of a file, or of its copy. Raises: OSError."""
        path = item.entry.path
        if item.copy is None:
            return sha256_file(self._tree.final(path))
        return sha256_file(f"{copies_root(self._expected.target, item.copy.pixels)}/{path}")

    async def judge(self, item: _FileToHash, digest: str | OSError) -> None:
        """Record the result of a file by its digest."""
        path, size = item.entry.path, item.size
        if isinstance(digest, OSError):
            self._record_read_error(path, digest, size)
            return
        self.result.selected += 1
        if digest != (item.entry.sha256 if item.copy is None else item.copy.sha256):
            self.result.bad.append(path)
            self._emit(Checked(path, Finding.BAD, size))
            return
        if item.copy is None:
            self.result.good += 1
            self.result.good_bytes += size
        else:
            self.result.derived += 1
            self.result.derived_bytes += size
        self._emit(Checked(path, Finding.GOOD, size))

    def _record_missing(self, path: str) -> None:
        if self._expected.only_present:
            return
        self.result.missing += 1
        self.result.selected += 1
        self._emit(Checked(path, Finding.MISSING))

    def _record_read_error(self, path: str, problem: OSError, size: int = 0) -> None:
        """Record the result of a file that could not be read."""
        no_file = isinstance(problem, FileNotFoundError | NotADirectoryError | IsADirectoryError)
        if no_file and os.path.isdir(self._tree.root):
            self._record_missing(path)
        elif error := reading_error(problem, f"cannot read {path}"):
            self.disk_error = error
        else:
            self.result.selected += 1
            self.result.unreadable.append(path)
            reason = reason_of(problem)
            self._emit(Checked(path, Finding.UNREADABLE, size, reason))


def unexpected_files(expected: Expectation) -> Iterator[tuple[str, bool]]:
    """Yield each file of the tree that is not expected, and whether the manifest lists it.

    If only slices of the manifest are there, only the files within the slices count.
    """
    manifest, is_wanted = expected.manifest, expected.selected.is_wanted
    files = expected.target.tree.files()
    for path, listed in merge_join(files, manifest.entries(), str, lambda it: it[1].path):
        if path is None or path == MANIFEST_NAME or (listed is not None and is_wanted(path)):
            continue
        if is_in_key_ranges(manifest.keys, path):
            yield path, listed is not None
