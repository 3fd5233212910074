"""The values that all parts of one run share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import time

from cxrsync.cancellation import CancelToken
from cxrsync.clock import Clock
from cxrsync.config.job import Job
from cxrsync.dataset.target import Target
from cxrsync.events import EventSink
from cxrsync.model import MANIFEST_NAME
from cxrsync.sources.base import Source, answer_of_any
from cxrsync.stats import RunStats
from cxrsync.threads import Writers
from cxrsync.transfer.budget import Budget
from cxrsync.transfer.disk_guard import DiskGuard
from cxrsync.transfer.pool import TransferPool
from cxrsync.transfer.rate_limit import RateLimiter
from cxrsync.transfer.source_limits import LimitsOfSources
from cxrsync.transfer.transfer_context import TransferContext


@dataclass(frozen=True, slots=True)
class Network:
    """The limits that every request of a run obeys, whatever its target: all targets of a run have
    the same sources."""

    limits_of: LimitsOfSources
    rate_limiter: RateLimiter


@dataclass(frozen=True, slots=True)
class RunContext:
    """One run of one job on one target.

    ``stats``: counts the events of the run, for all its targets. ``stamp``: the UTC time at which
    the run began, as file names on disk contain it. ``batch_files``: the number of files that are
    is held open until then. ``budget``: what the run may still take, of all its targets together;
    ``disk``: what must stay free on the target's disk. ``now``: the clock of proofs and records.
    """

    job: Job
    target: Target
    source: Source
    network: Network
    emit: EventSink
    stats: RunStats
    cancel: CancelToken
    stamp: str
    batch_files: int
    writers: Writers
    budget: Budget
    disk: DiskGuard
    now: Clock = time

    def transfer_context(
        self, pool: TransferPool, probe: Callable[[], Awaitable[None]] | None = None
    ) -> TransferContext:
        """Return what all transfers in ``pool`` share."""
        return TransferContext(
            self.source,
            self.job.limits,
            self.network.limits_of,
            self.emit,
            self.writers,
            probe,
            pool.notify,
            self.network.rate_limiter,
            self.budget,
            self.disk,
        )

    async def probe(self) -> None:
        """Request one byte of the manifest, which everyone with access to the dataset may read.

        Raises: AccessDenied, and any other SourceError.
        """
        async with answer_of_any(self.source, self.target.remote(MANIFEST_NAME), 0, 1):
            pass
