"""``mirror``: run the jobs of a file, one after the other, unattended.

1. Each job finds out which version it is about: it may follow the newest one.
2. Manifests and tables of all jobs come first: they are small, and tell what is new.
3. Then come the scrubs: see :mod:`cxrsync.mirror.scrub`.
4. Then each job is pulled, first the one whose last complete run is the longest ago.
5. A job that fails does not stop the next. The exit code is the worst of all jobs.

A pull may take months. With a scrub in the file, all of this begins anew after a day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from math import inf
from time import monotonic, time

from cxrsync.cancellation import CancelToken
from cxrsync.clock import Clock, utc_now
from cxrsync.config.job import SourceConfig
from cxrsync.config.job_file import MirrorJob
from cxrsync.dataset.shared_tree import recorded_access
from cxrsync.dataset.source_factory import open_source, opened
from cxrsync.dataset.target import Target
from cxrsync.errors import (
    CredentialsRefused,
    CxrsyncError,
    ExitCode,
    Locked,
    Stopped,
    UsageError,
    code_of,
    worst_of,
)
from cxrsync.events import Event, EventSink, Finished, Notice, RunSummary
from cxrsync.mirror.limits import Spent, is_used_up, within
from cxrsync.mirror.result import JobResult, MirrorResult
from cxrsync.mirror.scrub import EmitFor, Scrubs, logged_summary
from cxrsync.mirror.trees import (
    is_same_tree,
    log_as_left,
    marked_tree,
    run_at_work,
    version_instead,
    waiting_since,
)
from cxrsync.mirror.versions import Versions, first_version
from cxrsync.model import Kind
from cxrsync.operations.exit_status import disk_error_of
from cxrsync.operations.prepare import create_tree
from cxrsync.operations.pull import Scope, pull
from cxrsync.operations.run_log import run_stamp, write_summary
from cxrsync.sanitize import reason_of
from cxrsync.sources.base import Source
from cxrsync.storage.tree import Tree
from cxrsync.threads import run_in_thread

# After so long a job with a scrub is due again, also while a pull is at work.
DAY_SECONDS = 86_400.0
# Then the 403 of a newer version says nothing about its agreement.
_NO_ACCESS = {ExitCode.ACCESS, ExitCode.CREDENTIALS}
FIRST_KINDS = frozenset({Kind.TABLES, Kind.DOCS})
_LOOK_AT_IT = (
    "Look at that process, and at the disk and the network that it uses; end it if it hangs. "
    "Nothing that it has fetched is lost."
)


async def mirror(
    jobs: Sequence[MirrorJob], emit_for: EmitFor, cancel: CancelToken, now: Clock = time
) -> MirrorResult:
    """Run the jobs. ``emit_for``: where the events of a job go. Never asks for a password.

    Errors are in the result: nothing is raised but the caller's own cancellation.
    """
    running = _Mirror(jobs, emit_for, cancel, now)
    async with running.sources():
        await running.run()
    return MirrorResult(tuple(running.results[each.name] for each in jobs))


async def init(job: MirrorJob, emit: EventSink) -> Tree:
    """Create the marker of a job's tree.

    A job that follows the newest version gets the tree of the newest one that its source opens,
    unless it has a tree already. Raises: UsageError, DiskError; for such a job any SourceError.
    """
    version = job.job.version
    if version is None:
        async with opened(open_source(job.job, emit)) as source:
            version = await first_version(job.job, source, CancelToken())
    return await create_tree(job.job, version, emit)


class _Mirror:
    """The jobs of one night."""

    def __init__(
        self, jobs: Sequence[MirrorJob], emit_for: EmitFor, cancel: CancelToken, now: Clock
    ) -> None:
        self._jobs = jobs
        self._emit_for = emit_for
        self._cancel = cancel
        self._now = now
        self._stack = AsyncExitStack()
        self._sources: dict[str, Source] = {}
        self._trees: dict[str, Tree] = {}
        self._versions = Versions(emit_for, now)
        self._refused: dict[tuple[str, str | None], CredentialsRefused] = {}
        self._spent: dict[str, Spent] = defaultdict(Spent)
        self._scrubs = Scrubs(jobs, emit_for, self._spent, cancel, now)
        self._day_ends = inf
        self.results: dict[str, JobResult] = {}

    @asynccontextmanager
    async def sources(self) -> AsyncIterator[None]:
        """Close the sources of all jobs at the end. A job keeps its own, and so its sign-in."""
        async with self._stack:
            yield

    async def run(self) -> None:
        """Run all jobs; their results are in ``results`` afterwards."""
        while await self._run_night():
            pass

    async def _run_night(self) -> bool:
        """Run all jobs once; return whether a pull was ended because a day was over."""
        self._scrubs.begin_night()
        self._day_ends = monotonic() + DAY_SECONDS if self._scrubs.nights else inf
        begun = [each for each in self._jobs if await self._can_begin(each)]
        present = [job for each in begun if (job := await self._choose_version(each)) is not None]
        jobs = [each for each in present if self._versions.chosen[each.name].is_known]
        if len(self._jobs) > 1:
            jobs = [each for each in jobs if await self._pull_tables(each)]
        await self._scrubs.run(present, self._trees)
        order = {each.name: waiting_since(self._trees[each.name], self._now()) for each in jobs}
        for each in sorted(jobs, key=lambda each: order[each.name]):
            if await self._can_begin(each):
                await self._pull(each)
            await self._scrub_rest(each)
        for each in present:
            if each not in jobs:
                await self._scrub_rest(each)
            await self._tell_versions(each)
            await self._add_scrub(each)
            await self._discard_versions(each)
        return self._is_day_over()

    # ── the day and its scrubs ─────────────────────────────────────────────────────────────────

    def _is_day_over(self) -> bool:
        """Whether a job was ended by the end of the day, and by nothing else."""
        if self._cancel.code is not None or monotonic() < self._day_ends:
            return False
        return any(
            self.results[each.name].code is ExitCode.LIMIT
            and not is_used_up(self._spent[each.name].left_of(each.job), self._now)
            for each in self._jobs
        )

    async def _scrub_rest(self, job: MirrorJob) -> None:
        """Scrub what is left of a job's share, and fetch what that has discarded."""
        is_pulled = self.results[job.name].code in {ExitCode.COMPLETE, ExitCode.LIMIT}
        found = await self._scrubs.run_rest(job, self._trees[job.name])
        if found and is_pulled and await self._can_begin(job):
            await self._pull(job)

    async def _add_scrub(self, job: MirrorJob) -> None:
        """Add the scrubs of the night to the job's result, and to the log of its run."""
        night = self._scrubs.nights.get(job.name)
        if night is None or not (night.parts or night.error):
            return
        result, error = self.results[job.name], night.error
        if result.error is None and isinstance(error, Exception) and not isinstance(error, Locked):
            result = replace(result, error=error)
        code, scrub = worst_of((result.code, *night.codes)), self._scrubs.counts_of(job.name)
        self.results[job.name] = result = replace(result, code=code, scrub=scrub)
        tree, now = self._trees[job.name], self._now()
        stamp = await run_in_thread(lambda: run_stamp(tree, now))
        reason = "" if result.error is None else reason_of(result.error)
        summary = logged_summary(job.job, result.summary, code, reason, stamp)
        summary = replace(summary, root=str(tree.root), scrub=night.counts)
        tree.access, _note = await run_in_thread(lambda: recorded_access(tree))
        await run_in_thread(lambda: write_summary(tree, summary.run, summary, job.job.keep_runs))

    # ── one job ────────────────────────────────────────────────────────────────────────────────

    async def _can_begin(self, job: MirrorJob) -> bool:
        """Whether a job may begin now; if not, its result says why."""
        if self._cancel.code is not None:
            stopped = Stopped("stopped as asked", next_step=self._cancel.next_step)
            stopped.exit_code = self._cancel.code
            return self._end(job, stopped)
        if (refused := self._refused.get(_account(job.job.origin))) is not None:
            # The same password is not sent twice.
            not_begun = CredentialsRefused(f"not begun, because {refused}", next_step="")
            return self._end(job, not_begun)
        try:
            tree = await run_in_thread(lambda: marked_tree(job.job))
            self._refuse_double(job, tree)
        except CxrsyncError as refusal:
            return self._end(job, refusal)
        except OSError as problem:
            return self._end(job, disk_error_of(problem))
        self._trees[job.name] = tree
        return await self._is_alone(job, tree)

    def _refuse_double(self, job: MirrorJob, tree: Tree) -> None:
        for name, other in self._trees.items():
            if name != job.name and is_same_tree(other, tree):
                raise UsageError(
                    f"the jobs {name} and {job.name} are for one tree: {tree.root}",
                    next_step="Put both selections into one job.",
                )

    async def _is_alone(self, job: MirrorJob, tree: Tree) -> bool:
        """Whether no other run works on the tree. If one does, all is well: it does this work."""
        at_work = await run_in_thread(lambda: run_at_work(tree, utc_now(self._now)))
        if at_work is None:
            return True
        if at_work.is_stuck:
            stuck = Locked(str(at_work))
            stuck.next_step = _LOOK_AT_IT
            return self._end(job, stuck)
        self._emit_for(job)(Notice(f"{at_work}. Nothing is done now"))
        self.results[job.name] = JobResult(job.name, ExitCode.LIMIT)
        return False

    async def _choose_version(self, job: MirrorJob) -> MirrorJob | None:
        """Return the job with the version that it is about now; None if that cannot be found."""
        target: Target | None
        try:
            source = await self._source(job, self._emit_for(job))
            target = await self._versions.choose(job, source, self._cancel.child())
        except Exception as problem:  # noqa: BLE001 - one job's error must not stop the next
            self._end(job, problem)
            target = await self._versions.keep_present(job)
        if target is None:
            return None
        self._trees[job.name] = target.tree
        # The tree was there a moment ago: where it is gone, its disk was unmounted.
        return replace(job, job=replace(job.job, version=target.version, must_exist=True))

    async def _tell_versions(self, job: MirrorJob) -> None:
        """Tell what is new about versions, if the job has come so far that it is true."""
        result = self.results[job.name]
        if result.summary is not None and result.code not in _NO_ACCESS:
            await self._versions.tell(job)
        said = self._versions.chosen[job.name]
        if said.refusal is not None and result.error is None:
            code = worst_of((result.code, said.refusal.exit_code))
            result = replace(result, code=code, error=said.refusal)
        news = tuple(self._versions.news[job.name])
        self.results[job.name] = replace(result, news=news, remark=said.remark)

    async def _discard_versions(self, job: MirrorJob) -> None:
        """Let versions go that are no longer kept, if the job's own is complete and no scrub has
        met a fault."""
        summary, night = self.results[job.name].summary, self._scrubs.nights.get(job.name)
        is_complete = summary is not None and summary.exit_code == ExitCode.COMPLETE
        if is_complete and (night is None or night.error is None):
            await self._versions.discard_surplus(job)

    async def _pull_tables(self, job: MirrorJob) -> bool:
        """Fetch manifest and tables; return whether the job's other files are to be pulled."""
        if not await self._can_begin(job):
            return False
        await self._pull(job, FIRST_KINDS)
        result = self.results[job.name]
        return result.error is None and result.code is not ExitCode.LIMIT

    async def _pull(self, job: MirrorJob, root_kinds: frozenset[Kind] | None = None) -> None:
        emit = self._emit_for(job)
        told = emit if root_kinds is None else _without_summary(emit)
        summary: RunSummary | None = None

        def note(event: Event) -> None:
            nonlocal summary
            if isinstance(event, Finished):
                summary = event.summary
            told(event)

        try:
            source = await self._source(job, emit)
            left = within(self._spent[job.name].left_of(job.job), self._day_ends - monotonic())
            scope = Scope(root_kinds=root_kinds)
            await pull(left, source, note, self._cancel.child(), scope, self._now)
        except Locked as locked:
            # The other run may have begun after the look at the tree.
            if await self._is_alone(job, self._trees[job.name]):
                self._end(job, locked, summary)
            elif summary is not None and self.results[job.name].code is ExitCode.LIMIT:
                tree, keep = self._trees[job.name], job.job.keep_runs
                ours = await run_in_thread(partial(log_as_left, tree, summary, keep))
                self.results[job.name] = replace(self.results[job.name], summary=ours)
        except Exception as problem:  # noqa: BLE001 - one job's error must not stop the next
            self._end(job, problem, summary)
        else:
            assert summary is not None
            self.results[job.name] = JobResult(job.name, ExitCode(summary.exit_code), summary)
        if summary is not None:
            self._spent[job.name].add(summary)

    async def _source(self, job: MirrorJob, emit: EventSink) -> Source:
        if job.name not in self._sources:
            source = open_source(job.job, emit)
            self._sources[job.name] = await self._stack.enter_async_context(opened(source))
        return self._sources[job.name]

    def _end(self, job: MirrorJob, problem: Exception, summary: RunSummary | None = None) -> bool:
        """Note the error that ended a job; return False."""
        tree = self._trees.get(job.name) if job.follows_latest else None
        version = None if tree is None else version_instead(job.job, tree)
        if tree is not None and version is not None:
            text = f"another run follows version {version}, and {tree.root} is in its trash"
            self._emit_for(job)(Notice(f"{text}. Nothing is done now"))
            self._scrubs.nights.pop(job.name, None)  # what it met is no fault of the disk
            self.results[job.name] = JobResult(job.name, ExitCode.LIMIT)
            return False
        if isinstance(problem, CredentialsRefused):
            self._refused.setdefault(_account(job.job.origin), problem)
        self.results[job.name] = JobResult(job.name, code_of(problem), summary, problem)
        return False


def _account(origin: SourceConfig) -> tuple[str, str | None]:
    """Return what decides which password is sent: the server and the user."""
    return (origin.shown, origin.user)


def _without_summary(emit: EventSink) -> EventSink:
    """Return a sink without the summary of a run that is only a part of a job."""
    return lambda event: None if isinstance(event, Finished) else emit(event)
