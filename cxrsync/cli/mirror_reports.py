"""The HTML reports of a mirror: one file for each tree, written when all jobs have ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cxrsync.cli.html_report import check_suffix, write_report
from cxrsync.config.job_file import MirrorFile, MirrorJob
from cxrsync.errors import CxrsyncError
from cxrsync.mirror.result import MirrorResult
from cxrsync.mirror.trees import with_present_version
from cxrsync.operations.html_report import gather_after
from cxrsync.sanitize import reason_of


def check_name(file: MirrorFile) -> None:
    """Raise UsageError if the key ``report`` names no HTML file."""
    if "report" in file.settings:
        check_suffix(file.settings["report"], "report:")


def path_of(file: MirrorFile, jobs: Sequence[MirrorJob], name: str) -> Path | None:
    """Return the file for the report of a job. ``jobs``: all jobs of the job file, also those that
    do not run now; each tree keeps the same file, whichever job runs."""
    base: Path | None = file.settings.get("report")
    if base is None or len(jobs) == 1:
        return base
    return base.with_name(f"{base.stem}-{name}{base.suffix}")


def write_reports(
    file: MirrorFile, jobs: Sequence[MirrorJob], result: MirrorResult, began: float
) -> Iterator[str]:
    """Write the report of each job that has run; yield a warning for each that failed.

    ``jobs``: as for :func:`path_of`. ``began``: when the mirror began, POSIX time.
    """
    by_name = {each.name: each.job for each in jobs}
    for each in result.jobs:
        path = path_of(file, jobs, each.name)
        if path is None:
            continue
        try:
            job = with_present_version(by_name[each.name])
            write_report(path, gather_after(job, each.summary, began))
        except (CxrsyncError, OSError) as problem:
            yield reason_of(problem)
