"""What one run of a mirror came to: the one value that pings, hooks and metrics are made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cxrsync.errors import ExitCode
from cxrsync.operations.exit_status import sentence_of

# A mirror that stopped at a limit of its user's did what it was asked to do.
GOOD_CODES = frozenset({ExitCode.COMPLETE, ExitCode.LIMIT})


@dataclass(frozen=True, slots=True)
class FileCounts:
    """Numbers of files at the end of a run, by state.

    ``verified`` and ``missing`` are of the whole selection; the others count what this run did.
    """

    verified: int = 0
    missing: int = 0
    fetched: int = 0
    failed: int = 0
    mismatched: int = 0

    def __add__(self, other: FileCounts) -> FileCounts:
        return FileCounts(
            self.verified + other.verified,
            self.missing + other.missing,
            self.fetched + other.fetched,
            self.failed + other.failed,
            self.mismatched + other.mismatched,
        )


@dataclass(frozen=True, slots=True)
class JobReport:
    """How one job of a mirror ended.

    ``ended_at``, ``oldest_proof``: Unix time; ``oldest_proof`` is when the file that was hashed
    longest ago was hashed, None without any. ``verified_bytes``: of the tree, for the selection.
    ``fetched_bytes``, ``scrubbed_bytes``: of this run. ``run_file``: the run's log in the tree.
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
    oldest_proof: float | None = None
    run_file: Path | None = None


@dataclass(frozen=True, slots=True)
class MirrorReport:
    """How a mirror ended. ``exit_code``: the worst of its jobs, or of the mirror itself."""

    exit_code: int
    seconds: float
    jobs: tuple[JobReport, ...] = ()

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
        """The bytes that all jobs hashed again."""
        return sum(each.scrubbed_bytes for each in self.jobs)
