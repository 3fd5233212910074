"""What one run of a mirror came to: the one value that pings, hooks and metrics are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import time

from cxrsync.clock import Clock
from cxrsync.config.job import Job
from cxrsync.config.job_file import MirrorJob
from cxrsync.dataset.partition_states import partition_names
from cxrsync.errors import CxrsyncError, ExitCode
from cxrsync.events import ScrubCounts
from cxrsync.mirror.result import JobResult, MirrorResult
from cxrsync.mirror.trees import marked_tree
from cxrsync.operations.exit_status import sentence_of
from cxrsync.operations.run_log import RUNS_FOLDER
from cxrsync.storage.state_db import State
from cxrsync.storage.tree import Tree

# A mirror that stopped at a limit of its user's did what it was asked to do.
GOOD_CODES = frozenset({ExitCode.COMPLETE, ExitCode.LIMIT})


@dataclass(frozen=True, slots=True)
class FileCounts:
    """Numbers of files at the end of a run, by state.

    ``verified`` and ``missing`` are of the whole selection; the others count what this run did. A
    file that a smaller copy has replaced counts as verified.
    ``deleted``: left the manifest, and were moved to the trash.
    """

    verified: int = 0
    missing: int = 0
    fetched: int = 0
    failed: int = 0
    mismatched: int = 0
    deleted: int = 0

    def __add__(self, other: FileCounts) -> FileCounts:
        return FileCounts(
            self.verified + other.verified,
            self.missing + other.missing,
            self.fetched + other.fetched,
            self.failed + other.failed,
            self.mismatched + other.mismatched,
            self.deleted + other.deleted,
        )


@dataclass(frozen=True, slots=True)
class JobReport:
    """How one job of a mirror ended.

    ``ended_at``, ``oldest_proof``: Unix time; ``oldest_proof`` is when the file that was hashed
    longest ago was hashed, None without any. ``verified_bytes``: of the tree, for the selection.
    ``fetched_bytes``, ``scrubbed_bytes``, ``scrubbed_files``: of this run. ``rotten_files``: those
    that the run found to have lost their right bytes. ``run_file``: the run's log in the tree.
    """

    job: str
    dataset: str
    exit_code: int
    ended_at: float
    seconds: float
    files: FileCounts = FileCounts()
    verified_bytes: int = 0
    fetched_bytes: int = 0
    scrubbed_bytes: int = 0
    scrubbed_files: int = 0
    rotten_files: int = 0
    oldest_proof: float | None = None
    run_file: Path | None = None


@dataclass(frozen=True, slots=True)
class MirrorReport:
    """How a mirror ended. ``exit_code``: the worst of its jobs, or of the mirror itself.
    ``news``: what is told for the first time, about newer versions for example."""

    exit_code: int
    seconds: float
    jobs: tuple[JobReport, ...] = ()
    news: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether nobody needs to do anything."""
        return self.exit_code in GOOD_CODES

    @property
    def sentence(self) -> str:
        """The exit code in words. They contain no path, no id and no name."""
        return sentence_of(self.exit_code)

    @property
    def files(self) -> FileCounts:
        """The counts of all jobs together."""
        return sum((each.files for each in self.jobs), FileCounts())

    @property
    def fetched_bytes(self) -> int:
        """The bytes that all jobs received."""
        return sum(each.fetched_bytes for each in self.jobs)

    @property
    def scrubbed_bytes(self) -> int:
        """The bytes that all jobs hashed again and found right."""
        return sum(each.scrubbed_bytes for each in self.jobs)

    @property
    def scrubbed_files(self) -> int:
        """How many files all jobs hashed again and found right."""
        return sum(each.scrubbed_files for each in self.jobs)

    @property
    def rotten_files(self) -> int:
        """How many files of all jobs had lost their right bytes."""
        return sum(each.rotten_files for each in self.jobs)


def report_of(
    result: MirrorResult, jobs: Mapping[str, MirrorJob], seconds: float, now: Clock = time
) -> MirrorReport:
    """Return the report of a mirror that took so many seconds. ``jobs``: by their names.

    Reads the states of the trees, and changes nothing.
    """
    reports = tuple(_job_report(each, jobs[each.name].job, now()) for each in result.jobs)
    news = tuple(f"{each.name}: {text}" for each in result.jobs for text in each.news)
    return MirrorReport(int(result.code), seconds, reports, news)


def _job_report(result: JobResult, job: Job, now: float) -> JobReport:
    report = JobReport(result.name, job.dataset, int(result.code), now, 0.0)
    if (scrub := result.scrub) is not None:
        report = replace(
            report,
            seconds=scrub.seconds,
            scrubbed_bytes=scrub.good.bytes,
            scrubbed_files=scrub.good.files,
            rotten_files=scrub.bad + scrub.unreadable,
        )
    try:
        tree = marked_tree(job)
        report = replace(report, oldest_proof=_oldest_proof(tree, scrub))
    except (CxrsyncError, OSError):
        return report  # the result says why, if this is why the job failed
    summary = result.summary
    if summary is None:
        return report
    verified = summary.present.files + summary.fetched.files + summary.adopted.files
    verified += summary.derived.files
    mismatched = summary.mismatched.files + summary.acknowledged.files
    lost = summary.failed.files + mismatched
    return replace(
        report,
        seconds=report.seconds + summary.seconds,
        files=FileCounts(
            verified=verified,
            missing=max(0, summary.selected.files - verified - lost),
            fetched=summary.fetched.files,
            failed=summary.failed.files,
            mismatched=mismatched,
            deleted=summary.deleted.files,
        ),
        verified_bytes=summary.selected.bytes,  # only sizes of verified files are known
        fetched_bytes=summary.fetched.bytes,
        run_file=tree.own / RUNS_FOLDER / f"{summary.run}.json" if summary.run else None,
    )


def _oldest_proof(tree: Tree, scrub: ScrubCounts | None) -> float | None:
    """Return when the selected file that was hashed longest ago was hashed.

    The states also have files that left the manifest, which a scrub leaves out; a scrub does not
    know what a pull has fetched since. Both are early at most, so the later one is right.
    """
    recorded = oldest_proof(tree)
    if recorded is None or scrub is None or scrub.oldest is None:
        return recorded
    return max(recorded, scrub.ended_at - scrub.oldest)


def oldest_proof(tree: Tree) -> float | None:
    """Return when the file of a tree that was hashed longest ago was hashed (Unix time); None if
    none was. Raises DiskError."""
    oldest = None
    for name in partition_names(tree):
        state = State.read(tree.partition(name))
        if state is None:
            continue
        with state:
            at = state.oldest_proof()
        if at is not None:
            oldest = at if oldest is None else min(oldest, at)
    return oldest
