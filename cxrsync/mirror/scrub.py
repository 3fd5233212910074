"""The scrubs of a mirror: before the pulls, so that no pull takes their time.

1. After the manifests and tables of all jobs, each job with the key ``scrub`` hashes the share that
   is due. Together they take at most half of the time that a window or a limit leaves: the other
   files are to be fetched, too.
2. A rotten file loses its record and goes to the trash. The pull of the job then finds it missing,
   and fetches it again.
3. A scrub that was stopped at its half of the time goes on after the job's pull.

A scrub needs neither the network nor a sign-in. What a signal or a limit leaves is due in the next
night, because the oldest proofs come first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby

from cxrsync import humanize
from cxrsync.cancellation import CancelToken
from cxrsync.catalog.load import dataset_info
from cxrsync.clock import Clock
from cxrsync.config.job import Job
from cxrsync.config.job_file import MirrorJob
from cxrsync.dataset.target import Target
from cxrsync.errors import ExitCode, Locked, NotFetchedYet, code_of
from cxrsync.events import (
    Checked,
    Event,
    EventSink,
    Finding,
    Notice,
    Planned,
    RunSummary,
    ScrubCounts,
    Totals,
)
from cxrsync.mirror.limits import Spent, time_left, within
from cxrsync.model import partition_of
from cxrsync.operations.exit_status import disk_error_of, explained_errors
from cxrsync.operations.expected_files import expectation
from cxrsync.operations.run_log import run_stamp
from cxrsync.operations.scrub import Scrubbing, scrub
from cxrsync.plan.refetch import check_rotten
from cxrsync.sanitize import reason_of
from cxrsync.stats import RunStats
from cxrsync.storage.trash import TRASH_FOLDER, Trash
from cxrsync.storage.tree import Tree
from cxrsync.sync.partitions import Partitions
from cxrsync.sync.scrub import discard_rotten
from cxrsync.threads import run_in_thread

EmitFor = Callable[[MirrorJob], EventSink]
"""Returns where the events of a job go."""


@dataclass(slots=True)
class NightScrub:
    """The scrubs of one job in one night, one after the other.

    ``error``: what ended the last of them early. ``is_open``: whether a share is left that may be
    hashed after the pull.
    """

    period: float
    parts: list[Scrubbing] = field(default_factory=list)
    error: BaseException | None = None
    is_open: bool = False

    @property
    def seconds(self) -> float:
        """How long all of them took."""
        return sum(part.seconds for part in self.parts)

    @property
    def counts(self) -> ScrubCounts:
        """What all of them did together."""
        return counts_of(self.period, self.parts)

    @property
    def codes(self) -> list[ExitCode]:
        """What the scrubs add to the exit code of their job.

        Bad and missing files add nothing: it is the pull that does, or does not, fetch them again.
        Neither does a lock: the run that holds it has the work, and the next night the share.
        """
        codes = [ExitCode.LIMIT] if self.is_open else []
        if self.error is not None:
            codes.append(ExitCode.LIMIT if isinstance(self.error, Locked) else code_of(self.error))
        lost = {entry.path for part in self.parts for entry in part.found.rotten}
        if any(set(part.found.unreadable) - lost for part in self.parts):
            codes.append(ExitCode.FILES_FAILED)
        return codes


def counts_of(period: float, parts: list[Scrubbing]) -> ScrubCounts:
    """Return what scrubs of one tree, one after the other, did together."""
    surveyed = [part for part in parts if part.total.files]
    if not surveyed:
        return ScrubCounts(period, stopped=bool(parts))
    *earlier, last = surveyed
    done = _sum(part.found.good for part in earlier)
    return replace(
        last.counts,
        due=_sum((done, last.due)),
        good=_sum((done, last.found.good)),
        bad=len({path for part in surveyed for path in part.found.bad}),
        unreadable=len({path for part in surveyed for path in part.found.unreadable}),
        missing=len({path for part in surveyed for path in part.found.missing}),
        seconds=round(sum(part.seconds for part in parts), 3),
        stopped=parts[-1].stopped is ExitCode.LIMIT,
    )


class Scrubs:
    """The scrubs of all jobs of a mirror. ``spent``: what each job has taken of its limits."""

    def __init__(
        self,
        jobs: Sequence[MirrorJob],
        emit_for: EmitFor,
        spent: Mapping[str, Spent],
        cancel: CancelToken,
        now: Clock,
    ) -> None:
        self._jobs = [each for each in jobs if "scrub" in each.settings]
        self._emit_for = emit_for
        self._spent = spent
        self._cancel = cancel
        self._now = now
        self._earlier: dict[str, list[Scrubbing]] = defaultdict(list)
        self.nights: dict[str, NightScrub] = {}

    def begin_night(self) -> None:
        """Forget what was left of the night before."""
        for name, night in self.nights.items():
            self._earlier[name] += night.parts
        self.nights = {each.name: NightScrub(each.settings["scrub"]) for each in self._jobs}

    async def run(self, jobs: Iterable[MirrorJob], trees: Mapping[str, Tree]) -> None:
        """Scrub the trees of those jobs that ask for it: in half of the time together, at most."""
        waiting = [each for each in jobs if each.name in self.nights]
        for number, each in enumerate(waiting):
            # Of two: a quarter, and then a third of the three quarters that are left.
            await self._run(each, trees[each.name], 1 / (2 * len(waiting) - number))

    async def run_rest(self, job: MirrorJob, tree: Tree) -> bool:
        """Scrub what :meth:`run` has left of a share; return whether files are missing now."""
        night = self.nights.get(job.name)
        if night is None or not night.is_open:
            return False
        known = len(night.parts)
        await self._run(job, tree, 1.0)
        return any(part.found.rotten or part.found.missing for part in night.parts[known:])

    async def _run(self, job: MirrorJob, tree: Tree, share: float) -> None:
        """``share``: the part of the time left that the scrub may take."""
        left = self._spent[job.name].left_of(job.job)
        seconds = time_left(left, self._now)
        if self._cancel.code is not None or not seconds:
            return
        night = self.nights[job.name]
        before, emit = night.seconds, self._emit_for(job)
        await scrub_tree(night, within(left, share * seconds), tree, emit, self._cancel, self._now)
        self._spent[job.name].seconds += night.seconds - before

    def counts_of(self, name: str) -> ScrubCounts:
        """Return what all scrubs of a job did together, in all nights of this run."""
        night = self.nights[name]
        return counts_of(night.period, [*self._earlier[name], *night.parts])


async def scrub_tree(
    night: NightScrub, job: Job, tree: Tree, emit: EventSink, cancel: CancelToken, now: Clock
) -> None:
    """Scrub the tree of a job within the job's limits, and move rotten files to the trash.

    The result, errors too, is added to ``night``. A tree without a manifest has nothing to scrub.
    """
    night.error, night.is_open = None, False
    assert job.version is not None
    target = Target(tree, dataset_info(job.dataset), job.version)
    try:
        with ExitStack() as stack:
            opened = expectation(target, job, everything=True)
            expected = await run_in_thread(lambda: stack.enter_context(opened))
            part = await scrub(
                expected, job, night.period, _faults_only(emit), cancel.child(), now=now
            )
        night.parts.append(part)
        night.error, night.is_open = part.error, part.stopped is ExitCode.LIMIT
        _say(part, emit)
        if part.found.rotten and part.stopped in {None, ExitCode.LIMIT}:
            await _discard(part, job, tree, emit, cancel.child(), now)
    except NotFetchedYet:
        return
    except Exception as problem:  # noqa: BLE001 - the job is pulled all the same
        night.error = disk_error_of(problem) if isinstance(problem, OSError) else problem
    if night.error is not None:
        night.is_open = cancel.code is None
        emit(Notice(f"scrub: {reason_of(night.error)}"))


async def _discard(
    part: Scrubbing, job: Job, tree: Tree, emit: EventSink, cancel: CancelToken, now: Clock
) -> None:
    """Move the rotten files to the trash, partition by partition.

    Raises: RefusedForSafety if they are too many (then none is moved), Locked, LockLost, DiskError.
    """
    rotten = sorted(part.found.rotten, key=lambda entry: (partition_of(entry.path), entry.path))
    check_rotten(job.refresh, len(rotten), part.total.files, str(tree.root))
    stamp = await run_in_thread(lambda: run_stamp(tree, now()))
    moved = 0
    with explained_errors(cancel):
        for name, entries in groupby(rotten, lambda entry: partition_of(entry.path)):
            partitions = Partitions(tree, [name], stamp, now)
            trash = Trash(tree, stamp, partial(_check, partitions))
            await partitions.open(job.limits.wait_lock, emit, cancel.fail)
            try:
                moved += await discard_rotten(partitions, tree, trash, entries)
            finally:
                await partitions.close()
    if moved:
        folder = tree.own / TRASH_FOLDER / stamp
        emit(Notice(f"scrub: {humanize.files(moved)} that rotted: now in {folder}"))


def logged_summary(
    job: Job, summary: RunSummary | None, code: ExitCode, error: str, stamp: str
) -> RunSummary:
    """Return the summary of a job's run, or one of a run that did not come so far as to have a log.

    ``code``, ``error``: how it ended; ``stamp``: what its log is called then.
    """
    if summary is not None and summary.run:
        return summary
    none = RunStats().summary(requests=0, exit_code=code, error=error)
    return replace(summary or none, dataset=job.dataset, version=job.version or "", run=stamp)


def _check(partitions: Partitions, path: str) -> None:
    partitions.check([partition_of(path)])


def _say(part: Scrubbing, emit: EventSink) -> None:
    if not part.total.files:
        return
    for line in part.in_words():
        emit(Notice(f"scrub: {line}"))
    if part.oldest is not None and part.oldest >= part.period:
        emit(
            Notice(
                "scrub: that is too old. Some nights were missed, or they are too short for this "
                "period: give the mirror more time, or write a longer period"
            )
        )


def _faults_only(emit: EventSink) -> EventSink:
    """Return a sink without what would look like the progress of the pull."""

    def tell(event: Event) -> None:
        is_good = isinstance(event, Checked) and event.finding is Finding.GOOD
        if not is_good and not isinstance(event, Planned):
            emit(event)

    return tell


def _sum(amounts: Iterable[Totals]) -> Totals:
    total = Totals()
    for each in amounts:
        total = Totals(total.files + each.files, total.bytes + each.bytes)
    return total
