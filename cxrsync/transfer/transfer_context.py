"""What all transfers of a run share: the source, and the limits of its parts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from cxrsync.config.job import TransferLimits
from cxrsync.config.timetable import Timetable
from cxrsync.events import EventSink, Received
from cxrsync.model import MANIFEST_NAME, RemotePath
from cxrsync.progress_events import Sized
from cxrsync.sources.base import Source, distrust, identity_of
from cxrsync.threads import Writers
from cxrsync.transfer.budget import Budget
from cxrsync.transfer.disk_guard import DiskGuard
from cxrsync.transfer.rate_limit import RateLimiter
from cxrsync.transfer.source_limits import LimitsOfSources


@dataclass(frozen=True, slots=True)
class TransferContext:
    """What every transfer of a run shares.

    ``probe`` requests a file that every reader of the dataset may have. None while that file itself
    is fetched: then a refusal ends the run at once.
    ``can_share`` is called when a file proves large enough for several connections. ``budget`` and
    ``disk`` say what may still be received, and written.
    """

    source: Source
    limits: TransferLimits
    limits_of: LimitsOfSources
    emit: EventSink
    writers: Writers
    probe: Callable[[], Awaitable[None]] | None = None
    can_share: Callable[[], None] = lambda: None
    rate_limiter: RateLimiter = field(default_factory=lambda: RateLimiter(Timetable()))
    budget: Budget = field(default_factory=Budget)
    disk: DiskGuard = field(default_factory=lambda: DiskGuard(Path(), 0))

    def identity_of(self, ref: RemotePath) -> str:
        """Return the identity of the source that a file is asked of now."""
        return identity_of(self.source, ref)

    def distrust(self, ref: RemotePath) -> bool:
        """Ask another source for a file, which this one has wrong. Returns False if there is
        none."""
        return distrust(self.source, ref)

    def tell_received(self, ref: RemotePath, count: int) -> None:
        """Emit that so many bytes of a file arrived; negative if they had to be discarded."""
        self.emit(Received(count, ref.path, ref.path == MANIFEST_NAME))

    def tell_size(self, ref: RemotePath, total: int | None, lacking: int | None) -> None:
        """Emit the size of a file that is fetched, if it is known."""
        if total is not None:
            have = total if lacking is None else max(0, total - lacking)
            self.emit(Sized(ref.path, total, have, ref.path == MANIFEST_NAME))
