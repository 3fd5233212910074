"""How long ago files were verified, counted up one by one."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from cxrsync.model import is_time
from cxrsync.report_data import AGE_BOUNDS_DAYS, ProofData

RECENT_DAYS = 30
DAY = 86_400.0


@dataclass(slots=True)
class ProofAges:
    """A count of verified files by the age of their proof. ``oldest`` in seconds."""

    oldest: float | None = None
    recent_files: int = 0
    recent_bytes: int = 0
    counts: list[int] = field(default_factory=lambda: [0] * (len(AGE_BOUNDS_DAYS) + 1))

    def count(self, verified_at: float, size: int, now: float) -> None:
        """Count a file. A time that cannot be true (a damaged record) counts as 1970; one to come
        (a clock that jumped) as now."""
        if not isinstance(verified_at, int | float) or not is_time(verified_at):
            verified_at = 0.0
        age = max(0.0, now - verified_at)
        self.oldest = age if self.oldest is None else max(self.oldest, age)
        self.counts[bisect_right(AGE_BOUNDS_DAYS, age / DAY)] += 1
        if age < RECENT_DAYS * DAY:
            self.recent_files += 1
            self.recent_bytes += size

    def add(self, other: ProofAges) -> None:
        """Count the files of another partition too."""
        if other.oldest is not None:
            self.oldest = max(other.oldest, self.oldest or 0.0)
        self.recent_files += other.recent_files
        self.recent_bytes += other.recent_bytes
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]

    def as_data(self) -> ProofData:
        """The count as a report tells it."""
        return ProofData(
            tuple(self.counts), self.oldest, RECENT_DAYS, self.recent_files, self.recent_bytes
        )

    def as_json(self) -> dict[str, object]:
        """The count as other people's scripts read it. ``oldest_age`` in seconds."""
        return {
            "oldest_age": None if self.oldest is None else round(self.oldest, 1),
            "recent_days": RECENT_DAYS,
            "recent_files": self.recent_files,
            "recent_bytes": self.recent_bytes,
        }
