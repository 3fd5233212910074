"""The values that all work on one set of locked partitions shares."""

from __future__ import annotations

from dataclasses import dataclass

from cxrsync.dataset.target import Target
from cxrsync.storage.trash import Trash
from cxrsync.sync.outcome_log import OutcomeLog
from cxrsync.sync.partitions import Partitions
from cxrsync.sync.publisher import Publisher
from cxrsync.transfer.pool import TransferPool
from cxrsync.transfer.transfer_context import TransferContext


@dataclass(frozen=True, slots=True)
class SyncContext:
    """The locked partitions, the sinks for files and outcomes, and the context of transfers."""

    target: Target
    partitions: Partitions
    trash: Trash
    outcomes: OutcomeLog
    publisher: Publisher
    pool: TransferPool
    context: TransferContext
