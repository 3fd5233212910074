"""Scrub a tree: hash each night the share of its files that is due, and record the proofs.

Which files are due is decided by what readers see, without a lock. Each partition is then locked
for its own share only, so that a pull of another partition need not wait.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from time import monotonic, time

from cxrsync import humanize
from cxrsync.cancellation import CancelToken
from cxrsync.clock import Clock, stamp_of
from cxrsync.config.job import Job
from cxrsync.dataset.shared_tree import recorded_access
from cxrsync.errors import ExitCode, Locked, code_of
from cxrsync.events import EventSink, Planned, RunSummary, ScrubCounts, Totals
from cxrsync.model import FileRecord, partition_of
from cxrsync.operations.exit_status import Ending, exit_status, explain, is_callers_cancellation
from cxrsync.operations.expected_files import Expectation
from cxrsync.operations.pull import seconds_left
from cxrsync.operations.run_log import progress_written
from cxrsync.plan.scrub import Proofs, due_share
from cxrsync.progress_events import Activity, Expected, Phase
from cxrsync.sorted_merge import left_join
from cxrsync.stats import RunStats
from cxrsync.storage.state_db import State
from cxrsync.sync.partitions import Partitions
from cxrsync.sync.scrub import DueFile, Scrubber, ScrubResult
from cxrsync.threads import run_in_thread

_PATH = attrgetter("path")


@dataclass(slots=True)
class Scrubbing:
    """The result of a scrub.

    ``total``: files with a proof; ``due``: the share of this night. ``oldest``: the age of the
    oldest proof afterwards, in seconds; None if there is none. ``stopped``: the exit code that a
    signal or a limit asked for. ``error``: what ended the scrub early. ``seconds``: its duration;
    ``ended_at``: POSIX time.
    """

    selection: str
    period: float
    total: Totals = field(default_factory=Totals)
    due: Totals = field(default_factory=Totals)
    found: ScrubResult = field(default_factory=ScrubResult)
    oldest: float | None = None
    stopped: ExitCode | None = None
    error: BaseException | None = None
    seconds: float = 0.0
    ended_at: float = 0.0

    @property
    def exit_code(self) -> ExitCode:
        """The exit code: 0 if every due file is there and right."""
        return exit_status(
            Ending(
                requested=self.stopped,
                errors=() if self.error is None else (code_of(self.error),),
                mismatched=len(self.found.bad),
                failed=len(self.found.missing) + len(self.found.unreadable),
            )
        )

    @property
    def counts(self) -> ScrubCounts:
        """The result in numbers."""
        found = self.found
        return ScrubCounts(
            period=self.period,
            total=self.total,
            due=self.due,
            good=found.good,
            bad=len(found.bad),
            unreadable=len(found.unreadable),
            missing=len(found.missing),
            oldest=self.oldest,
            seconds=self.seconds,
            ended_at=self.ended_at,
            stopped=self.stopped is ExitCode.LIMIT,
        )

    def as_json(self) -> dict[str, object]:
        """Return the result under the keys of the JSON output."""
        counts = self.counts.as_json()
        return {"selection": self.selection, **counts, "exit_code": int(self.exit_code)}

    def in_words(self) -> list[str]:
        """Return the result as lines for people."""
        found = self.found
        text = (
            f"{self.due.files:,} of {humanize.files(self.total.files)} "
            f"({humanize.size(self.due.bytes)} of {humanize.size(self.total.bytes)}) were due: "
            f"{found.good.files:,} good, {len(found.bad):,} bad"
        )
        text += f", {len(found.unreadable):,} unreadable" if found.unreadable else ""
        text += f", {len(found.missing):,} missing" if found.missing else ""
        if self.oldest is None:
            return [text]
        oldest = f"the oldest proof is {humanize.duration(self.oldest)} old"
        return [text, f"{oldest}; none should reach {humanize.duration(self.period)}"]


async def scrub(
    expected: Expectation,
    job: Job,
    period: float,
    emit: EventSink,
    cancel: CancelToken,
    *,
    now: Clock = time,
) -> Scrubbing:
    """Hash the share of the expected files that is due, so that no proof reaches the age ``period``
    (seconds).

    ``now``: returns the POSIX time. The job's limit on time and its window end the scrub (exit 9).
    An error that ended the scrub is returned in the result, with what was proven before.
    """
    result = Scrubbing(expected.description, period)
    began = monotonic()
    try:
        with (
            cancel.watching(job.limits.max_duration),
            cancel.ending(partial(seconds_left, job.limits.window, now)),
        ):
            await _scrub(expected, job, result, emit, cancel, now)
    except BaseException as problem:
        if is_callers_cancellation(problem, cancel):
            raise
        result.error = explain(problem, cancel)
    result.stopped = cancel.code
    result.seconds = round(monotonic() - began, 3)
    result.ended_at = now()
    return result


async def _scrub(
    expected: Expectation,
    job: Job,
    result: Scrubbing,
    emit: EventSink,
    cancel: CancelToken,
    now: Clock,
) -> None:
    """Raises: Locked if other runs hold partitions with due files, after the other partitions were
    scrubbed; DiskError, LockLost."""
    tree = expected.target.tree
    emit(Phase(Activity.PLANNING, expected.target.name))
    tree.access, _note = await run_in_thread(lambda: recorded_access(tree))
    survey = await run_in_thread(lambda: _Survey(expected))
    proofs = survey.proofs
    due = await run_in_thread(lambda: due_share(proofs, result.period, now()))
    result.total = Totals(len(proofs), proofs.bytes)
    result.due = Totals(len(due), sum(proofs.sizes[number] for number in due))
    emit(Phase(Activity.VERIFYING, expected.target.name))
    emit(Expected(result.due.bytes))
    emit(Planned(len(due), 0, 0, 0, len(due)))

    def proven(number: int, at: float) -> None:
        proofs.times[number] = at

    scrubber = Scrubber(tree, emit, now, proven)
    result.found = scrubber.result
    stamp = stamp_of(now())
    refused: list[Locked] = []
    try:
        if not due:
            return
        async with progress_written(tree, stamp, lambda: _progress(expected, result)):
            for name, numbers in survey.by_partition(due):
                partitions = Partitions(tree, [name], stamp, now)
                try:
                    await partitions.open(job.limits.wait_lock, emit, cancel.fail)
                except Locked as locked:
                    refused.append(locked)
                    continue
                try:
                    await scrubber.scrub(partitions, survey.due_files(numbers))
                finally:
                    await partitions.close()
    finally:
        result.oldest = proofs.oldest(now())
    if refused:
        raise refused[0]


def _progress(expected: Expectation, result: Scrubbing) -> RunSummary:
    """Return how far the scrub is, for whoever looks at the tree meanwhile."""
    return replace(
        RunStats().summary(requests=0, exit_code=-1),
        dataset=expected.target.dataset.slug,
        version=expected.target.version,
        root=str(expected.target.tree.root),
        selection=expected.description,
        selected=result.total,
        present=result.total,
        scrub=result.counts,
    )


class _Survey:
    """The proofs of the expected files: what the states record as verified, in manifest order."""

    def __init__(self, expected: Expectation) -> None:
        self.proofs = Proofs()
        self._manifest = expected.manifest
        self._offsets = array("Q")
        self._names = sorted(expected.selected.partitions)
        self._partitions = array("H")  # of each file, as an index of names
        with ExitStack() as stack:
            records = {name: _records(expected, name, stack) for name in self._names}
            self._read(expected, records)

    def _read(self, expected: Expectation, records: dict[str, Iterator[FileRecord]]) -> None:
        index_of = {name: index for index, name in enumerate(self._names)}
        wanted = (
            (offset, entry)
            for offset, entry in self._manifest.entries()
            if expected.selected.is_wanted(entry.path)
        )
        recorded = _merged(records)
        for (offset, entry), record in left_join(wanted, recorded, lambda it: it[1].path, _PATH):
            # What a smaller copy has replaced is not here to be hashed.
            is_here = record is not None and record.copy is None
            if record is not None and is_here and record.sha256 == entry.sha256:
                self.proofs.add(record.size, _time_of(record))
                self._offsets.append(offset)
                self._partitions.append(index_of[partition_of(record.path)])

    def by_partition(self, due: array[int]) -> Iterator[tuple[str, array[int]]]:
        """Yield each partition with the numbers of its due files, in the order of the manifest. The
        partition with the oldest proof comes first."""
        found: dict[int, array[int]] = {}
        for number in due:
            found.setdefault(self._partitions[number], array("Q")).append(number)
        for index, numbers in found.items():
            yield self._names[index], array("Q", sorted(numbers))

    def due_files(self, numbers: array[int]) -> Iterator[DueFile]:
        """Yield the files with these numbers."""
        entries = self._manifest.entries_at(self._offsets[number] for number in numbers)
        for number, entry in zip(numbers, entries, strict=True):
            yield DueFile(number, entry)


def _time_of(record: FileRecord) -> float:
    """Return the time of the last proof; 0 if a damaged state has something else there."""
    at: object = record.verified_at
    return float(at) if isinstance(at, int | float) else 0.0


def _records(expected: Expectation, name: str, stack: ExitStack) -> Iterator[FileRecord]:
    state = State.read(expected.target.tree.partition(name))
    return iter(()) if state is None else stack.enter_context(state).records()


def _merged(records: dict[str, Iterator[FileRecord]]) -> Iterator[FileRecord]:
    return heapq.merge(*records.values(), key=_PATH)
