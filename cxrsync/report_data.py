"""What an HTML report tells, as frozen values: gathered by operations, rendered by ui.

Nothing in here names a subject, a study or an image: files are counts, by partition and reason.
Times are POSIX seconds; durations are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

# The upper ends of the bars of the histogram, in days; the last bar has none.
AGE_BOUNDS_DAYS = (1, 3, 7, 14, 30, 60, 90, 180, 365)


class Trouble(Enum):
    """What is wrong with a selected file, or with a line of the manifest."""

    FAILED = "failed"
    MISMATCHED = "mismatched"
    ACKNOWLEDGED = "acknowledged"
    GONE = "gone"
    CHANGED = "changed"
    OUTDATED = "outdated"
    UNREADABLE = "unreadable"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class TroubleGroup:
    """So many files of one partition with the same trouble, for the same reason."""

    trouble: Trouble
    partition: str
    reason: str
    files: int


@dataclass(frozen=True, slots=True)
class PartitionData:
    """Where the selected files of one partition stand. ``troubled``: how many of the unverified and
    missing ones have a trouble."""

    name: str
    selected: int
    verified: int
    unverified: int
    missing: int
    verified_bytes: int = 0
    partial_bytes: int = 0
    troubled: int = 0


@dataclass(frozen=True, slots=True)
class ProofData:
    """How long ago the verified files were hashed.

    ``ages``: files by age, a number for each of AGE_BOUNDS_DAYS and one for those that are older.
    ``oldest``: the age of the oldest proof, None where there is none. ``recent_files`` and
    ``recent_bytes`` were verified in the last ``recent_days``.
    """

    ages: tuple[int, ...] = (0,) * (len(AGE_BOUNDS_DAYS) + 1)
    oldest: float | None = None
    recent_days: int = 30
    recent_files: int = 0
    recent_bytes: int = 0


@dataclass(frozen=True, slots=True)
class RunData:
    """What one run of a pull did.

    ``samples``: seconds since its beginning, and bytes received so far. ``problems``: what is
    known of the files that failed, which may be less than ``failed`` and ``mismatched``.
    ``derived``: images whose smaller copy was made, or stands for them.
    ``scrubbed``, ``scrubbed_bytes``: what was hashed again and right; ``rotten``: how many files
    had lost their right bytes.
    """

    began: float
    seconds: float
    exit_code: int
    selection: str = ""
    selected: int = 0
    present: int = 0
    fetched: int = 0
    adopted: int = 0
    failed: int = 0
    mismatched: int = 0
    fetched_bytes: int = 0
    requests: int = 0
    error: str = ""
    limited: bool = False
    problems: tuple[TroubleGroup, ...] = ()
    samples: tuple[tuple[float, int], ...] = ()
    scrubbed: int = 0
    scrubbed_bytes: int = 0
    rotten: int = 0
    derived: int = 0

    @property
    def verified(self) -> int:
        """How many of the selected files were verified when the run ended."""
        return self.present + self.fetched + self.adopted + self.derived

    @property
    def ended(self) -> float:
        """When the run ended."""
        return self.began + self.seconds


@dataclass(frozen=True, slots=True)
class WorkingRun:
    """A run that is at work: how many of its selected files are verified so far."""

    verified: int
    selected: int


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything that a report tells.

    ``selection``: in words. ``only_present``: nothing tells what was pulled, so that only the files
    that are there are counted. ``unknown``: why nothing can be said of the files, empty where it
    can. ``runs``: the oldest first. ``unread_runs``: how many logs of runs could not be read.
    ``behind``: partitions of which a run has verified more than the counts say.
    """

    dataset: str
    version: str
    root: str
    selection: str
    made_at: float
    made_by: str
    partitions: tuple[PartitionData, ...] = ()
    proofs: ProofData = ProofData()
    troubles: tuple[TroubleGroup, ...] = ()
    runs: tuple[RunData, ...] = ()
    working: tuple[WorkingRun, ...] = ()
    unread_runs: int = 0
    only_present: bool = False
    unknown: str = ""
    behind: tuple[str, ...] = ()

    @property
    def total(self) -> PartitionData:
        """All partitions together."""
        every = self.partitions
        return PartitionData(
            "all",
            selected=sum(each.selected for each in every),
            verified=sum(each.verified for each in every),
            unverified=sum(each.unverified for each in every),
            missing=sum(each.missing for each in every),
            verified_bytes=sum(each.verified_bytes for each in every),
            partial_bytes=sum(each.partial_bytes for each in every),
            troubled=sum(each.troubled for each in every),
        )
