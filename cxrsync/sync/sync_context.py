"""The values that all work on one set of locked partitions shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cxrsync.dataset.target import Target
from cxrsync.model import Entry
from cxrsync.plan.planner import time_key
from cxrsync.storage.trash import Trash
from cxrsync.sync.derive import Deriver
from cxrsync.sync.outcome_log import OutcomeLog
from cxrsync.sync.partitions import Partitions
from cxrsync.sync.publisher import Publisher
from cxrsync.transfer.pool import TransferPool
from cxrsync.transfer.transfer_context import TransferContext

# How many files may have begun, and wait for a source.
MOST_TRANSFERS = 512


@dataclass(frozen=True, slots=True)
class SyncContext:
    """The locked partitions, the sinks for files and outcomes, and the context of transfers.

    ``times``: modification times that the states recorded, for files whose source tells none.
    """

    target: Target
    partitions: Partitions
    trash: Trash
    outcomes: OutcomeLog
    publisher: Publisher
    pool: TransferPool
    context: TransferContext
    times: Mapping[int, int] = field(default_factory=dict)
    deriver: Deriver | None = None

    @property
    def drops_originals(self) -> bool:
        """Whether images are removed once their copies are made."""
        return self.deriver is not None and self.deriver.drops

    def time_of(self, entry: Entry) -> float | None:
        """Return the time that the file had the last time, if these bytes were here before."""
        found = self.times.get(time_key(entry.path, entry.sha256))
        return None if found is None else found / 1e9

    def may_begin(self) -> bool:
        """Return whether another file may begin, which the first source is asked for: that source
        has room, and not too many files wait for one of the sources after it."""
        limits = self.context.limits_of.of(self.target.remote(""))
        return limits.has_room and len(self.pool) < MOST_TRANSFERS
