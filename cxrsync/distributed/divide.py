"""Divide a job into one task a partition, and share its connections and its rate out. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cxrsync.config.job import LATEST, Job
from cxrsync.config.timetable import Timetable
from cxrsync.errors import UsageError
from cxrsync.model import ROOT

_FINER = (
    "State, lock and partials are those of a partition (a shard, or the root with its tables), so "
    "nothing smaller can be a task."
)


@dataclass(frozen=True, slots=True)
class Division:
    """A job that is divided into tasks.

    ``partitions``: one a task, the root first: the others may need its tables. ``at_once``: so many
    tasks run at a time. ``connections``, ``rate``: of each task. ``transfers``: whether the tasks
    need connections.
    """

    job: Job
    partitions: tuple[str, ...]
    at_once: int
    connections: int
    rate: Timetable
    transfers: bool = True

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The job of each task."""
        return tuple(self.job_of(name) for name in self.partitions)

    def job_of(self, partition: str) -> Job:
        """Return the job of one task."""
        limits = replace(
            self.job.limits,
            connections=self.connections,
            first_connections=min(self.connections, self.job.limits.first_connections),
            rate=self.rate,
        )
        return replace(self.job, limits=limits, partitions=frozenset({partition}))


def divide(
    job: Job, shards: tuple[str, ...], at_once: int | None = None, *, transfers: bool = True
) -> Division:
    """Divide a job into tasks.

    ``shards``: those that the dataset has. ``at_once``: how many tasks run at a time; None: as many
    as there are partitions, if the connections suffice. ``transfers``: whether the tasks need
    connections; those of a verification do not. ``job.limits.connections`` and the rate are
    the total of all tasks at work.

    Raises: UsageError if there are fewer partitions or connections than tasks, or if the job has a
    limit that only one run can keep, or no definite version.
    """
    _refuse_whole_limits(job)
    _refuse_copies(job)
    if job.version == LATEST:
        raise UsageError(
            "each task would ask which version is the latest, and a new version may come between "
            "two of them",
            next_step=f"Name the version: `cxrsync info {job.dataset}` says which there are.",
        )
    partitions = partitions_of(job, shards)
    if not partitions:
        raise UsageError(
            "the job has no files in the partitions that --only-partition names",
            next_step="Leave --only-partition out: each task gets its own.",
        )
    total = job.limits.connections if transfers else len(partitions)
    if at_once is None:
        at_once = min(len(partitions), total)
    if at_once > len(partitions):
        count = "1 partition" if len(partitions) == 1 else f"{len(partitions)} partitions"
        raise UsageError(
            f"{at_once} tasks at a time are more than the job has partitions: it has {count}",
            next_step=f"{_FINER} Ask for at most {len(partitions)}.",
        )
    if at_once > total:
        raise UsageError(
            f"{at_once} tasks at a time are more than --connections {total}",
            next_step="--connections is the total of all tasks, and each needs at least one. "
            f"PhysioNet bears about 8 of one user. Ask for at most {total} tasks at a time.",
        )
    rate = _shared(job.limits.rate, at_once)
    return Division(job, partitions, at_once, total // at_once, rate, transfers)


def partitions_of(job: Job, shards: tuple[str, ...]) -> tuple[str, ...]:
    """Return the partitions that a job may have files in, the root first.

    ``shards``: those that the dataset has. Which of them really have some, only tables tell.
    """
    names = [shard for shard in shards if _may_have(job, shard)]
    # The root's task has what is in no known shard: tables, and shards of a later version.
    if any(
        each.whole or each.brings_tables or not each.shards or set(each.shards) - set(shards)
        for each in job.selections
    ):
        names.insert(0, ROOT)
    return tuple(name for name in names if not job.partitions or name in job.partitions)


def _may_have(job: Job, shard: str) -> bool:
    return any(not each.shards or shard in each.shards for each in job.selections)


def _refuse_whole_limits(job: Job) -> None:
    for value, name in (
        (job.limits.max_files, "--max-files"),
        (job.limits.max_bytes, "--max-bytes"),
    ):
        if value is not None:
            raise UsageError(
                f"{name} is a limit of one run: several tasks cannot keep it together",
                next_step="Select fewer files (--limit, --sample), or limit the time of each task "
                "(--max-duration).",
            )


def _refuse_copies(job: Job) -> None:
    if job.resize is not None:
        raise UsageError(
            "--resize is for one run: the copies are one tree, on which one run works at a time",
            next_step="Pull without it; when the tasks have ended: cxrsync resize.",
        )


def _shared(rate: Timetable, tasks: int) -> Timetable:
    """Return the part of a rate that one of so many tasks has. A pause stays a pause."""

    def part(each: float | None) -> float | None:
        return each if not each else max(1.0, each / tasks)

    spans = tuple((span, part(each)) for span, each in rate.spans)
    return replace(rate, spans=spans, otherwise=part(rate.otherwise))
