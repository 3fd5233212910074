"""A pull from its beginning to its end: version, manifest, plan, transfers, summary."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial as bind

from cxrsync.catalog import Dataset, describe, nearest
from cxrsync.engine.flight import Flight
from cxrsync.engine.hashing import Hashing
from cxrsync.engine.manifest import ManifestFile, obtain
from cxrsync.engine.outage import Emit, Outage
from cxrsync.engine.partitions import Partitions
from cxrsync.engine.plan import Plan, make_plan
from cxrsync.engine.publication import Publication
from cxrsync.engine.queue import Queue
from cxrsync.engine.records import keep_summary, write_progress
from cxrsync.engine.stop import Stop
from cxrsync.engine.tally import Tally
from cxrsync.engine.transfer import Line
from cxrsync.engine.version import choose_version, claim, no_such_version
from cxrsync.errors import (
    BadAnswer,
    CxrsyncError,
    ExitCode,
    Interrupted,
    Locked,
    NotFound,
    Stopped,
    Throttled,
    Unreachable,
    UsageError,
)
from cxrsync.job import Job, Selection
from cxrsync.manifest.select import wanted
from cxrsync.model import (
    MANIFEST_NAME,
    ROOT,
    Contradiction,
    Entry,
    Event,
    FileDone,
    Finished,
    Notice,
    Outcome,
    Planned,
    Ref,
    Started,
    Summary,
)
from cxrsync.source.base import Source
from cxrsync.store.layout import Tree, disk_error, version_root
from cxrsync.store.publish import Trash

# How long the first answer may take: later the run waits for --give-up-after, but a mistyped
# address should say so at once.
_FIRST_ANSWER_SECONDS = 15.0


async def pull(
    job: Job,
    source: Source,
    emit: Emit,
    stop: Stop | None = None,
    distrust: Iterable[str] = (),
) -> Summary:
    """Fetch what the job names and is not there yet, and verify it. Returns what was done.

    ``distrust``: paths of files that were found wrong, whatever the state says of them.

    What ends a run early is in the summary too: its ``exit_code`` and ``error``. The error itself
    is raised after the summary has been emitted.
    """
    stop = stop or Stop()
    tally = Tally()

    def tell(event: Event) -> None:
        tally.listen(event)
        emit(event)

    error: CxrsyncError | None = None
    run = _Run(job, source, tell, tally, stop, distrust)
    stop.watch(asyncio.current_task())
    try:
        await run.execute()
    except asyncio.CancelledError:
        if stop.code is None:
            raise
        if stop.code is not ExitCode.LIMIT:
            error = Stopped("stopped as asked; the state is saved")
            error.exit_code = stop.code
    except BaseExceptionGroup as group:
        error = first_error(group)
        if error is None:
            raise
    except CxrsyncError as problem:
        error = problem
    except OSError as problem:
        error = disk_error(problem, "cannot go on")
        if error is None:
            raise
    finally:
        stop.watch(None)
    code = error.exit_code if error else (stop.code or run.exit_code())
    summary = tally.summary(
        requests=source.requests, exit_code=int(code), error=str(error) if error else ""
    )
    run.keep(summary)
    tell(Finished(summary))
    if error is not None:
        raise error
    return summary


def first_error(group: BaseExceptionGroup[BaseException]) -> CxrsyncError | None:
    """The error that ended a run, out of what its tasks raised together; None if none is ours."""
    found: list[CxrsyncError] = []
    for problem in group.exceptions:
        if isinstance(problem, BaseExceptionGroup):
            inner = first_error(problem)
            if inner is not None:
                found.append(inner)
        elif isinstance(problem, CxrsyncError):
            found.append(problem)
        elif isinstance(problem, OSError) and (error := disk_error(problem, "cannot go on")):
            found.append(error)
    return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Leg:
    """Partitions that are locked and worked on together."""

    names: tuple[str, ...]
    wait: float


class _Run:
    def __init__(
        self,
        job: Job,
        source: Source,
        emit: Emit,
        tally: Tally,
        stop: Stop,
        distrust: Iterable[str],
    ) -> None:
        self._distrust = tuple(distrust)
        self._job = job
        self._source = source
        self._emit = emit
        self._tally = tally
        self._stop = stop
        self._stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        self._tree: Tree | None = None
        self._limited = False
        self._files_left = job.limits.max_files

    def exit_code(self) -> ExitCode:
        """The exit code of a run that came to its end."""
        code = self._tally.exit_code()
        return ExitCode.LIMIT if code is ExitCode.COMPLETE and self._limited else code

    async def execute(self) -> None:
        job = self._job
        version = await choose_version(job, self._source, self._emit)
        tree = Tree(version_root(job.dest, job.dataset, version).absolute())
        claim(tree, job.dataset, version)
        self._tree = tree
        dataset = describe(job.dataset)
        self._emit(
            Started(job.dataset, version, str(tree.root), str(job.selection),
                    job.limits.connections)
        )  # fmt: skip
        manifest = await self._manifest(tree, version)
        try:
            legs = [Leg(touched(manifest.partitions, job.selection), job.limits.wait_lock)]
            async with asyncio.TaskGroup() as group:
                limit = group.create_task(self._keep_time())
                news = group.create_task(write_progress(tree, self._snapshot))
                await self._travel(tree, manifest, dataset, version, legs)
                limit.cancel()
                news.cancel()
        finally:
            manifest.close()

    async def _manifest(self, tree: Tree, version: str) -> ManifestFile:
        job = self._job
        flight = Flight()
        patience = min(_FIRST_ANSWER_SECONDS, job.limits.give_up_after)
        line = Line(
            self._source, job.limits, Outage(patience, self._emit), self._emit,
            can_share=flight.tell,
        )  # fmt: skip
        try:
            return await obtain(tree, line, flight, job.dataset, version, self._stamp)
        except NotFound:
            raise await no_such_version(self._source, job.dataset, version) from None
        except (Interrupted, BadAnswer, Throttled) as problem:
            raise Unreachable(f"cannot get the manifest: {problem}") from None

    async def _travel(
        self, tree: Tree, manifest: ManifestFile, dataset: Dataset, version: str, legs: list[Leg]
    ) -> None:
        """Every leg; the root's comes last by itself where another run holds it now."""
        remaining = list(legs)
        while remaining:
            leg = remaining.pop(0)
            partitions = Partitions(tree, leg.names, self._stamp)
            try:
                await partitions.open(leg.wait, self._stop.flag)
            except Locked as held:
                rest = tuple(name for name in leg.names if name != ROOT)
                if ROOT not in leg.names or not rest or "root" not in str(held):
                    raise
                # A job array's runs share the root: the shards need not wait for it.
                remaining = [Leg(rest, leg.wait), Leg((ROOT,), self._job.limits.give_up_after)]
                continue
            try:
                await self._leg(tree, manifest, dataset, version, partitions)
            finally:
                await partitions.close()
        if not self._tally.selected:
            raise UsageError(
                f"nothing is selected by: {self._job.selection}",
                next_step=f"Take a filter away, or look at the names in {manifest.path}.",
            )

    async def _leg(
        self,
        tree: Tree,
        manifest: ManifestFile,
        dataset: Dataset,
        version: str,
        partitions: Partitions,
    ) -> None:
        for aside in partitions.set_aside:
            self._emit(
                Notice(f"{aside.parent} held a damaged state: set aside as {aside.name}, rebuilt")
            )
        await partitions.forget(self._distrust)
        is_wanted = wanted(self._job.selection, dataset)
        plan = await partitions.plan(lambda rows: make_plan(manifest, is_wanted, rows, tree))
        self._emit(
            Planned(
                selected=plan.selected,
                present=plan.present,
                present_bytes=plan.present_bytes,
                to_fetch=plan.to_fetch,
                to_hash=len(plan.to_hash),
                refused=tuple(plan.refused),
                refused_lines=manifest.refused_lines,
            )
        )
        if plan.selected:
            await partitions.remember(self._job.selection)
        if plan.to_fetch or plan.to_hash:
            await self._transfer(tree, version, partitions, plan)

    async def _transfer(self, tree: Tree, version: str, partitions: Partitions, plan: Plan) -> None:
        """Fetch and hash what the plan names; publish to the last, whatever ends it."""
        job = self._job
        flight = Flight()
        trash = Trash(tree, self._stamp)
        failures: list[Outcome] = []
        contradictions: list[Contradiction] = []

        def fail(outcome: Outcome) -> None:
            failures.append(outcome)
            self._emit(FileDone(outcome))

        def contradict(contradiction: Contradiction, outcome: Outcome) -> None:
            contradictions.append(contradiction)
            self._emit(FileDone(outcome))

        def done(entry: Entry, outcome: Outcome) -> None:
            self._emit(FileDone(outcome))
            queue.published(entry, outcome)

        line = Line(
            self._source, job.limits, Outage(job.limits.give_up_after, self._emit), self._emit,
            probe=bind(self._probe, version), can_share=flight.tell,
        )  # fmt: skip
        publication = Publication(tree, partitions, trash, done, fsync=job.fsync)
        queue = Queue(
            line,
            flight,
            tree,
            (job.dataset, version),
            plan.entries_to_fetch(),
            publication,
            trash=trash,
            partials=partitions.partials(),
            known=await partitions.contradictions(),
            fail=fail,
            contradict=contradict,
            most_files=self._files_left,
        )
        hashing = Hashing(tree, plan.entries_to_hash(), queue, publication, fail)
        ended: BaseException | None = None
        async with asyncio.TaskGroup() as outer:
            outer.create_task(publication.run())
            try:
                async with asyncio.TaskGroup() as inner:
                    if len(plan.to_hash):
                        inner.create_task(hashing.run())
                    for _ in range(job.limits.connections):
                        inner.create_task(queue.connection())
            except (asyncio.CancelledError, BaseExceptionGroup) as problem:
                # Not swallowed: what is verified is published first.
                ended = problem
            await queue.close()
            await publication.close()
        await partitions.record(contradictions=contradictions, failures=failures)
        self._limited = self._limited or queue.stopped_at_limit
        if ended is not None:
            raise ended

    async def _probe(self, version: str) -> None:
        ref = Ref(self._job.dataset, version, MANIFEST_NAME)
        async with self._source.open(ref, 0, 1):
            pass

    async def _keep_time(self) -> None:
        if self._job.limits.max_duration is not None:
            await asyncio.sleep(self._job.limits.max_duration)
            self._stop.request(ExitCode.LIMIT)

    def _snapshot(self) -> Summary:
        return self._tally.summary(requests=self._source.requests, exit_code=-1)

    def keep(self, summary: Summary) -> None:
        """Leave a record of the run in its tree, if it came that far."""
        if self._tree is not None:
            keep_summary(self._tree, self._stamp, summary)


def touched(there: frozenset[str], selection: Selection) -> tuple[str, ...]:
    """The partitions that a selection can touch, of those ``there`` in the manifest.

    Raises UsageError for a shard that is not there.
    """
    lacking = [shard for shard in selection.shards if shard not in there]
    if lacking:
        shards = sorted(there - {ROOT})
        raise UsageError(
            f"the manifest has no shard {', '.join(lacking)}",
            next_step=f"It has {nearest(lacking[0], shards) or 'no shards at all'}.",
        )
    names = set(selection.shards) or there
    if selection.shards and (selection.tables or selection.only):
        names = names | {ROOT}
    return tuple(sorted(names & there))
