"""What the parts of one run share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cxrsync.cancellation import CancelToken
from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.config.job import Job
from cxrsync.events import EventSink
from cxrsync.model import MANIFEST_NAME, RemotePath
from cxrsync.sources.base import Source
from cxrsync.storage.tree import Tree
from cxrsync.transfer.concurrency import ConcurrencyLimiter
from cxrsync.transfer.context import TransferContext
from cxrsync.transfer.pool import TransferPool
from cxrsync.transfer.rate_limit import RateLimiter
from cxrsync.transfer.server_health import ServerHealth


@dataclass(frozen=True, slots=True)
class RunContext:
    """One run of one job on one tree. ``stamp``: when it began, UTC, as names on disk bear it;
    ``batch_files``: how many files are published together, each of which is held open."""

    job: Job
    source: Source
    emit: EventSink
    stop: CancelToken
    tree: Tree
    dataset: DatasetInfo
    version: str
    stamp: str
    rate_limiter: RateLimiter
    limiter: ConcurrencyLimiter
    server_health: ServerHealth
    batch_files: int

    def ref(self, path: str) -> RemotePath:
        """The file at ``path`` as the source knows it."""
        return RemotePath(self.job.dataset, self.version, path)

    def line(
        self, pool: TransferPool, probe: Callable[[], Awaitable[None]] | None = None
    ) -> TransferContext:
        """What transfers share."""
        return TransferContext(
            self.source,
            self.job.limits,
            self.server_health,
            self.emit,
            self.limiter,
            probe,
            pool.notify,
            self.rate_limiter,
        )

    async def probe(self) -> None:
        """Ask for a byte of what every reader of the dataset may have. Raises AccessDenied."""
        async with self.source.open(self.ref(MANIFEST_NAME), 0, 1):
            pass
