"""What a job of a mirror may still take of its limits: it is done in several parts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, isfinite

from cxrsync.clock import Clock
from cxrsync.config.job import Job
from cxrsync.events import RunSummary
from cxrsync.operations.pull import seconds_left


@dataclass(slots=True)
class Spent:
    """What the parts of a job have taken so far."""

    files: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def add(self, summary: RunSummary) -> None:
        """Add what a pull has taken."""
        self.files += summary.fetched.files
        self.bytes += summary.fetched.bytes
        self.seconds += summary.seconds

    def left_of(self, job: Job) -> Job:
        """Return the job with what is left of its limits."""
        limits = job.limits
        files, size, seconds = limits.max_files, limits.max_bytes, limits.max_duration
        left = replace(
            limits,
            max_files=None if files is None else max(0, files - self.files),
            max_bytes=None if size is None else max(0, size - self.bytes),
            max_duration=None if seconds is None else max(0.0, seconds - self.seconds),
        )
        return replace(job, limits=left)


def within(job: Job, seconds: float) -> Job:
    """Return the job with so many seconds at most; infinite: as many as it has."""
    if not isfinite(seconds):
        return job
    limit = job.limits.max_duration
    most = max(0.0, seconds if limit is None else min(limit, seconds))
    return replace(job, limits=replace(job.limits, max_duration=most))


def time_left(job: Job, now: Clock) -> float:
    """Return the seconds that ``max_duration`` and window leave; infinite without them."""
    limit = job.limits.max_duration
    return min(inf if limit is None else limit, seconds_left(job.limits.window, now))


def is_used_up(job: Job, now: Clock) -> bool:
    """Return whether nothing is left of one of the job's limits."""
    limits = job.limits
    return 0 in {limits.max_files, limits.max_bytes} or not time_left(job, now)
