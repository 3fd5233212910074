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
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from time import monotonic
from typing import Any

from cxrsync import __version__
from cxrsync.dataset.target import Target
from cxrsync.errors import DiskError, ExitCode, UsageError
from cxrsync.events import Checked, EventSink, Finding, Planned
from cxrsync.model import FileStat, Kind
from cxrsync.operations.exit_status import Ending, exit_status
from cxrsync.operations.expected_files import Expectation
from cxrsync.progress_events import Activity, Expected, Phase
from cxrsync.storage.derived_image import (
    QUALITY,
    Derivation,
    Derived,
    Task,
    begin_worker,
    derive,
)
from cxrsync.storage.derived_tree import DerivedTree
from cxrsync.storage.lock import Lock

_SUFFIXES = (".jpg", ".jpeg", ".png")
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


def copies_root(target: Target, pixels: int) -> Path:
    """Return the root of the copies: beside the dataset if its version lies in a folder of its
    name, else beside the version."""
    root = target.tree.root
    if root.parent.name == target.dataset.slug:
        return root.parent.with_name(f"{root.parent.name}-{pixels}") / root.name
    return root.with_name(f"{root.name}-{pixels}")


def check_pillow() -> str:
    """Return the release of Pillow. Raises UsageError if it is not installed."""
    try:
        from PIL import __version__ as release
    except ImportError:
        raise UsageError(
            "resize needs Pillow, which is not installed",
            next_step="pip install 'cxrsync[images]'",
        ) from None
    return release


def resize(expected: Expectation, pixels: int, emit: EventSink) -> Resizing:
    """Make a smaller copy of every expected image that is here.

    Raises: UsageError if the dataset has no images of a kind that can be scaled, or if something
    else is where the copies should be; Locked; DiskError; OSError, sqlite3.Error.
    """
    target = expected.target
    copies = DerivedTree(copies_root(target, pixels))
    copies.describe(_description(expected, pixels))
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


def _description(expected: Expectation, pixels: int) -> dict[str, Any]:
    target = expected.target
    return {
        "what": f"smaller copies of the images of {target.name}, made by cxrsync resize",
        "dataset": target.dataset.slug,
        "version": target.version,
        "pixels_of_shorter_side": pixels,
        "filter": "Lanczos",
        "format": f"JPEG, quality {QUALITY}",
        "tool": f"cxrsync {__version__}, Pillow {check_pillow()}",
        "agreement": f"Copies are under the same data use agreement as the originals: "
        f"{target.dataset.page(target.version)}",
        "digests": "SHA256SUMS.txt: of the copies; SOURCE_SHA256SUMS.txt: of their originals, as "
        "published",
    }


def _images(expected: Expectation) -> Iterator[tuple[str, str, FileStat | None]]:
    """Yield path, digest and file of every expected image."""
    kind_of = expected.target.dataset.kind_of
    for _offset, entry, _record, found in expected.without_records():
        if kind_of(entry.path) is Kind.IMAGES:
            if not entry.path.lower().endswith(_SUFFIXES):
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
            yield Task(path, sha256, tree.final(path), copy, unfinished, pixels)


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
    """Yield the result of each task, as workers finish them: one for each core."""
    workers = os.cpu_count() or 1
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=begin_worker, initargs=(os.getpid(),)
    )
    pending: set[Future[Derived]] = set()
    try:
        while True:
            room = workers * _PER_WORKER - len(pending)
            pending |= {pool.submit(derive, task) for task in islice(tasks, room)}
            if not pending:
                return
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for each in finished:
                yield each.result()
    except BrokenProcessPool:
        raise DiskError(
            "a worker process was ended from outside: probably there is too little memory",
            next_step="What is done is kept: run the same command again.",
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
