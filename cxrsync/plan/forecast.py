"""What a pull would do, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from cxrsync.errors import WillNotFit
from cxrsync.plan.estimate import Estimate, Inventory
from cxrsync.storage.disk_space import FreeSpace


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a pull of one version would do. ``resumable``: files and bytes of them that are in
    partials; ``rate``: the bytes per second that the line gave last, if it is known."""

    root: str
    dataset: str
    version: str
    selection: str
    inventory: Inventory
    selected: int
    to_take: int
    resumable: tuple[int, int]
    estimate: Estimate
    need_bytes: int
    need_files: int
    room: FreeSpace
    rate: float | None
    refusal: WillNotFit | None

    @property
    def from_source(self) -> int:
        """About the bytes that come over the line: neither an older version's, nor partials'."""
        missing = sum(count.files for count in self.inventory.missing.values())
        share = 1 - self.to_take / missing if missing else 0
        return max(0, round(self.estimate.bytes * share) - self.resumable[1])

    @property
    def seconds(self) -> float | None:
        """How long the line would need at the rate seen last."""
        if not self.rate:
            return None
        return self.from_source / self.rate
