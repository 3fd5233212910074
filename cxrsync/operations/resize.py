"""``resize``: a tree of smaller copies beside a tree of verified images.

1. The images of the selection that are here come in the order of the manifest.
2. One whose copy is recorded, from the same original, and in place, is done.
3. A worker process reads the original, compares its digest with the published one, decodes and
   scales it, and puts the copy in place (:mod:`cxrsync.storage.derived_image`).
4. What is in place is recorded in batches. A kill loses at most the records of one batch, whose
   copies are made again.
5. At the end the digests of all copies are written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import monotonic

from cxrsync.dataset.copies import COPIED_SUFFIXES, copies_description, copies_root
from cxrsync.errors import DiskError, ExitCode, UsageError
from cxrsync.events import Checked, EventSink, Finding, Planned
from cxrsync.model import FileStat, Kind
from cxrsync.operations.exit_status import Ending, exit_status
from cxrsync.operations.expected_files import Expectation
from cxrsync.progress_events import Activity, Expected, Phase
from cxrsync.storage.derivation_pool import DerivationPool
from cxrsync.storage.derived_image import (
    Derivation,
    Derived,
    Task,
)
from cxrsync.storage.derived_tree import DerivedTree
from cxrsync.storage.lock import Lock

_PER_WORKER = 4
_BATCH = 256
_BATCH_SECONDS = 2.0


@dataclass(slots=True)
class Resizing:
    """The result: numbers of images. ``failed``: those without a copy, and why."""

    root: Path
    made: int = 0
    made_bytes: int = 0
    there: int = 0
    missing: int = 0
    failed: list[tuple[str, Derivation]] = field(default_factory=list)

    @property
    def exit_code(self) -> ExitCode:
        """The exit code: 0 if every expected image has its copy."""
        wrong = sum(reason is Derivation.WRONG for _path, reason in self.failed)
        return exit_status(Ending(mismatched=wrong, failed=self.missing + len(self.failed) - wrong))

    def as_json(self) -> dict[str, object]:
        """Return the result under the keys of the JSON output."""
        return {
            "root": str(self.root),
            "files": {
                "derived": self.made,
                "present": self.there,
                "missing": self.missing,
                "failed": len(self.failed),
            },
            "bytes": {"derived": self.made_bytes},
            "problems": [{"path": path, "reason": why.value} for path, why in self.failed],
            "exit_code": int(self.exit_code),
        }


def resize(expected: Expectation, pixels: int, emit: EventSink) -> Resizing:
    """Make a smaller copy of every expected image that is here.

    Raises: UsageError if the dataset has no images of a kind that can be scaled, or if something
    else is where the copies should be; Locked; DiskError; OSError, sqlite3.Error.
    """
    target = expected.target
    copies = DerivedTree(copies_root(target, pixels))
    copies.describe(copies_description(target, pixels))
    result = Resizing(copies.root)
    emit(Phase(Activity.PLANNING, target.name))
    with Lock(copies.own, describe=f"the copies in {copies.root}") as lock, closing(copies):
        copies.open()
        count, size = _plan(expected, copies)
        emit(Phase(Activity.VERIFYING, f"{target.name} → {pixels} px"))
        emit(Expected(size))
        emit(Planned(count, 0, 0, 0, count))
        tasks = _tasks(expected, copies, result, pixels)
        done: list[Derived] = []
        last = monotonic()
        for each in _in_processes(tasks):
            _judge(each, result, emit)
            if each.result is Derivation.DERIVED:
                done.append(each)
            if len(done) >= _BATCH or monotonic() > last + _BATCH_SECONDS:
                lock.check()
                copies.record(done)
                done, last = [], monotonic()
        lock.check()
        copies.record(done)
        copies.write_lists()
    return result


def _images(expected: Expectation) -> Iterator[tuple[str, str, FileStat | None]]:
    """Yield path, digest and file of every expected image."""
    kind_of = expected.target.dataset.kind_of
    for _offset, entry, _record, found in expected.without_records():
        if kind_of(entry.path) is Kind.IMAGES:
            if not entry.path.lower().endswith(COPIED_SUFFIXES):
                raise UsageError(
                    f"the images of {expected.target.name} are no JPEG or PNG files",
                    next_step="resize scales those of MIMIC-CXR-JPG: --jpg.",
                )
            yield entry.path, entry.sha256, found if isinstance(found, FileStat) else None


def _plan(expected: Expectation, copies: DerivedTree) -> tuple[int, int]:
    """Return how many images have no copy yet, and their bytes."""
    count = size = 0
    for path, sha256, found in _images(expected):
        if found is not None and not copies.has(path, sha256):
            count += 1
            size += found.size
    return count, size


def _tasks(
    expected: Expectation, copies: DerivedTree, result: Resizing, pixels: int
) -> Iterator[Task]:
    """Yield what is to be done; count the rest."""
    tree = expected.target.tree
    for path, sha256, found in _images(expected):
        if copies.has(path, sha256):
            result.there += 1
        elif found is None:
            result.missing += not expected.only_present
        else:
            copy, unfinished = f"{copies.root}/{path}", str(copies.unfinished)
            yield Task(path, sha256, tree.final(path), copy, unfinished, pixels, copies.draft)


def _judge(done: Derived, result: Resizing, emit: EventSink) -> None:
    """Count one image. Raises DiskError if its copy cannot be written: then no other can."""
    if done.result is Derivation.DERIVED:
        result.made += 1
        result.made_bytes += done.size
        emit(Checked(done.path, Finding.GOOD, done.size))
        return
    if done.result is Derivation.NOT_WRITTEN:
        raise DiskError(f"cannot write to {result.root}: {os.strerror(done.error)}")
    result.failed.append((done.path, done.result))
    is_wrong = done.result is Derivation.WRONG
    finding = Finding.BAD if is_wrong else Finding.UNREADABLE
    emit(Checked(done.path, finding, 0, "" if is_wrong else done.result.value))


def _in_processes(tasks: Iterator[Task]) -> Iterator[Derived]:
    """Yield the result of each task, as workers finish them: one for each core. Raises DiskError if
    a worker was ended from outside."""
    pending: set[Future[Derived]] = set()
    with DerivationPool() as pool:
        while True:
            room = pool.workers * _PER_WORKER - len(pending)
            pending |= {pool.submit(task) for task in islice(tasks, room)}
            if not pending:
                return
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for each in finished:
                yield each.result()
