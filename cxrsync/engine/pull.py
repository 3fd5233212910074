"""A pull from its beginning to its end: version, manifest, plan, transfers, summary."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial as bind

import aiofiles

from cxrsync.catalog import Dataset, describe, load, nearest
from cxrsync.engine.flight import Flight
from cxrsync.engine.hashing import Hashing
from cxrsync.engine.manifest import ManifestFile, obtain
from cxrsync.engine.outage import Emit, Outage
from cxrsync.engine.partitions import Partitions
from cxrsync.engine.plan import Plan, make_plan
from cxrsync.engine.publication import Publication
from cxrsync.engine.queue import Queue
from cxrsync.engine.tally import Tally
from cxrsync.engine.transfer import Line
from cxrsync.errors import (
    CxrsyncError,
    DiskError,
    ExitCode,
    Locked,
    NotFound,
    Stopped,
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
from cxrsync.store.layout import Tree, disk_error, make_folders, version_root, versions_present
from cxrsync.store.partial import write_file
from cxrsync.store.publish import Trash

# How long the first answer may take: later the run waits for --give-up-after, but a mistyped
# address should say so at once.
_FIRST_ANSWER_SECONDS = 15.0
_PROGRESS_SECONDS = 5.0


class Stop:
    """How a run is asked to end: by a signal, or by a limit that was reached."""

    def __init__(self) -> None:
        self.code: ExitCode | None = None
        self.flag = threading.Event()
        self._task: asyncio.Task[object] | None = None

    def watch(self, task: asyncio.Task[object] | None) -> None:
        """Cancel ``task`` once the stop is requested."""
        self._task = task
        if self.code is not None and task is not None:
            task.cancel()

    def request(self, code: ExitCode) -> None:
        """End the run in good order. Call it in the event loop's thread."""
        if self.code is None:
            self.code = code
            self.flag.set()
            if self._task is not None:
                self._task.cancel()


async def pull(job: Job, source: Source, emit: Emit, stop: Stop | None = None) -> Summary:
    """Fetch what the job names and is not there yet, and verify it. Returns what was done.

    What ends a run early is in the summary too: its ``exit_code`` and ``error``. The error itself
    is raised after the summary has been emitted.
    """
    stop = stop or Stop()
    tally = Tally()

    def tell(event: Event) -> None:
        tally.listen(event)
        emit(event)

    error: CxrsyncError | None = None
    run = _Run(job, source, tell, tally, stop)
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
    def __init__(self, job: Job, source: Source, emit: Emit, tally: Tally, stop: Stop) -> None:
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
                news = group.create_task(self._write_progress(tree))
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
            raise await _no_such_version(self._source, job.dataset, version) from None

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

    async def _write_progress(self, tree: Tree) -> None:
        """``progress.json``, for `status` beside a running pull."""
        path = tree.own / "progress.json"
        while True:
            summary = self._tally.summary(requests=self._source.requests, exit_code=-1)
            text = json.dumps({"pid": os.getpid(), "at": self._stamp, **summary.as_json()})
            fresh = path.with_name("progress.json.new")
            with suppress(OSError):  # a convenience: the run itself will meet a full disk
                async with aiofiles.open(fresh, "w", encoding="utf-8", opener=_private) as file:
                    await file.write(text)
                os.replace(fresh, path)
            await asyncio.sleep(_PROGRESS_SECONDS)

    def keep(self, summary: Summary) -> None:
        """``runs/<UTC>.json``: what this run did, for later."""
        if self._tree is None or not self._tree.own.is_dir():
            return
        runs = self._tree.own / "runs"
        with suppress(OSError):  # a full disk must not hide what filled it
            make_folders(runs)
            text = json.dumps(summary.as_json(), indent=1)
            write_file(runs / f"{self._stamp}.json", text.encode())
            (self._tree.own / "progress.json").unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


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


async def choose_version(job: Job, source: Source, emit: Emit) -> str:
    """The version to work on: named, else the one in the destination, else the newest known."""
    if job.version is not None:
        return job.version
    tree = read_claim(Tree(job.dest))
    if tree is not None and tree[0] == job.dataset:
        return tree[1]
    here = versions_present(job.dest, job.dataset)
    if here:
        newest = max(here, key=_by_number)
        emit(Notice(f"version {newest} of {job.dataset}: it is the one in {job.dest}"))
        return newest
    known = describe(job.dataset).versions
    if job.dataset not in load():
        known = tuple(await source.versions(job.dataset))
    if not known:
        raise UsageError(
            f"no dataset {job.dataset} is known",
            next_step=f"Near: {nearest(job.dataset, list(load()))}. If the name is right, say "
            "--dataset-version too.",
        )
    newest = max(known, key=_by_number)
    emit(Notice(f"version {newest} of {job.dataset}: the newest one known"))
    return newest


async def _no_such_version(source: Source, dataset: str, version: str) -> UsageError:
    known = await source.versions(dataset) or list(describe(dataset).versions)
    if known:
        return UsageError(
            f"{dataset} has no version {version}",
            next_step=f"Its versions: {', '.join(sorted(known, key=_by_number))}.",
        )
    return UsageError(
        f"there is no dataset {dataset} (version {version})",
        next_step=f"Near: {nearest(dataset, list(load()))}.",
    )


def _by_number(version: str) -> list[tuple[int, int, str]]:
    """2.10 comes after 2.9; words after numbers."""
    parts = version.replace("-", ".").split(".")
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


def claim(tree: Tree, dataset: str, version: str) -> None:
    """Make the tree, prove that it can be written, and note whose it is.

    Raises UsageError where it is another dataset's already.
    """
    other = read_claim(tree)
    if other is not None and other != (dataset, version):
        raise UsageError(
            f"{tree.root} holds {other[0]} {other[1]}, not {dataset} {version}",
            next_step="Choose another --dest; one folder holds one version.",
        )
    tree.create()
    if other is None:
        try:
            write_file(
                tree.own / "tree.json",
                json.dumps({"dataset": dataset, "version": version}).encode(),
            )
        except OSError as problem:
            raise DiskError(f"cannot write to {tree.root}: {problem.strerror}") from None


def read_claim(tree: Tree) -> tuple[str, str] | None:
    """Dataset and version of a tree, if one of our runs has noted them."""
    try:
        raw = json.loads((tree.own / "tree.json").read_bytes())
        return str(raw["dataset"]), str(raw["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
