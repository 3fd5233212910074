"""What became of the jobs of a mirror."""

from __future__ import annotations

from dataclasses import dataclass

from cxrsync.errors import ExitCode, worst_of
from cxrsync.events import RunSummary, ScrubCounts


@dataclass(frozen=True, slots=True)
class JobResult:
    """What became of one job.

    ``summary``: of its run, None if none reached its end. ``error``: what ended it early, or what a
    person must decide. ``scrub``: what was hashed again, None if it did not come to that. ``news``:
    what is told for the first time, about versions for example. ``remark``: what is told each time,
    in a few words.
    """

    name: str
    code: ExitCode
    summary: RunSummary | None = None
    error: Exception | None = None
    scrub: ScrubCounts | None = None
    news: tuple[str, ...] = ()
    remark: str = ""


@dataclass(frozen=True, slots=True)
class MirrorResult:
    """What became of all jobs, in the order of the file."""

    jobs: tuple[JobResult, ...]

    @property
    def code(self) -> ExitCode:
        """The worst exit code of all jobs."""
        return worst_of(each.code for each in self.jobs)
