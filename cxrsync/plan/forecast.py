"""The result of a dry run: what a pull would do."""

from __future__ import annotations

from dataclasses import dataclass

from cxrsync.errors import WillNotFit
from cxrsync.plan.estimate import Estimate, Inventory
from cxrsync.storage.disk_space import FreeSpace


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a pull of one version would do.

    ``reusable``: the number of files that an older version holds. ``resumable``: the number of
    partials, and their bytes. ``rate``: the download rate of the last run in bytes per second, None
    if unknown. ``refusal``: the error of a pull whose files will not fit on the disk.
    """

    root: str
    dataset: str
    version: str
    selection: str
    inventory: Inventory
    selected: int
    reusable: int
    resumable: tuple[int, int]
    estimate: Estimate
    need_bytes: int
    need_files: int
    free_space: FreeSpace
    rate: float | None
    refusal: WillNotFit | None

    @property
    def from_source(self) -> int:
        """The estimated bytes to download: without reusable files, and without partials."""
        missing = sum(count.files for count in self.inventory.missing.values())
        share = 1 - self.reusable / missing if missing else 0
        return max(0, round(self.estimate.bytes * share) - self.resumable[1])

    @property
    def seconds(self) -> float | None:
        """The estimated time of the download in seconds, at the rate of the last run."""
        if not self.rate:
            return None
        return self.from_source / self.rate
