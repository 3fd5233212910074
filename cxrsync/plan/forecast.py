"""The result of a dry run: what a pull would do."""

from __future__ import annotations

from dataclasses import dataclass

from cxrsync.catalog.stores import Price
from cxrsync.errors import WillNotFit
from cxrsync.plan.estimate import Estimate, Inventory
from cxrsync.storage.disk_space import FreeSpace

# The clouds' prices are by the GiB, which they call GB.
_BILLED_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a pull of one version would do.

    ``reusable``: the number of files that an older version holds. ``resumable``: the number of
    partials, and their bytes. ``rate``: the download rate of the last run in bytes per second, None
    if unknown. ``refusal``: the error of a pull whose files will not fit on the disk. ``store``:
    the store in the cloud that is asked; "" for another source. ``price``: of it, if the user's
    catalogue file has one.
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
    store: str = ""
    price: Price | None = None

    @property
    def from_source(self) -> int:
        """The estimated bytes to download: without reusable files, and without partials."""
        missing = sum(count.files for count in self.inventory.missing.values())
        share = 1 - self.reusable / missing if missing else 0
        return max(0, round(self.estimate.bytes * share) - self.resumable[1])

    @property
    def requests(self) -> int:
        """The estimated number of requests: one for each file that is missing."""
        return sum(count.files for count in self.inventory.missing.values()) - self.reusable

    @property
    def cost(self) -> float | None:
        """The estimated cost of the download; None if no price is known."""
        if self.price is None:
            return None
        by_bytes = self.from_source / _BILLED_BYTES * self.price.per_gb
        return by_bytes + self.requests / 1000 * self.price.per_1000_requests

    @property
    def seconds(self) -> float | None:
        """The estimated time of the download in seconds, at the rate of the last run."""
        if not self.rate:
            return None
        return self.from_source / self.rate
