"""A source that is not asked during a pause of the rate limit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from cxrsync.errors import SourceError
from cxrsync.model import RemotePath
from cxrsync.sources.base import Answer, Source, are_several, distrust, identity_of
from cxrsync.transfer.rate_limit import RateLimiter


class PacedSource:
    """A Source: ``source``, of which nothing is asked as long as ``rate_limiter`` pauses."""

    def __init__(self, source: Source, rate_limiter: RateLimiter) -> None:
        self._source = source
        self._several = source if are_several(source) else None
        self._rate_limiter = rate_limiter

    @property
    def identity(self) -> str:
        return self._source.identity

    @property
    def requests(self) -> int:
        return self._source.requests

    @asynccontextmanager
    async def open(
        self,
        ref: RemotePath,
        start: int = 0,
        stop: int | None = None,
        resume_if: str | None = None,
        skip_if: str | None = None,
    ) -> AsyncIterator[Answer]:
        """See :meth:`cxrsync.sources.base.Source.open`."""
        await self._rate_limiter.wait_unpaused()
        async with self._source.open(ref, start, stop, resume_if, skip_if) as answer:
            yield answer

    def identity_of(self, ref: RemotePath) -> str:
        """See :class:`cxrsync.sources.base.SeveralSources`."""
        return identity_of(self._source, ref)

    @property
    def most_connections(self) -> Sequence[int | None]:
        """See :class:`cxrsync.sources.base.SeveralSources`."""
        return self._several.most_connections if self._several is not None else (None,)

    def number_of(self, ref: RemotePath) -> int:
        """See :class:`cxrsync.sources.base.SeveralSources`."""
        return self._several.number_of(ref) if self._several is not None else 0

    def leave_out(self, number: int, problem: SourceError, *, for_good: bool) -> bool:
        """See :class:`cxrsync.sources.base.SeveralSources`."""
        several = self._several
        return several is not None and several.leave_out(number, problem, for_good=for_good)

    def distrust(self, ref: RemotePath) -> bool:
        """See :class:`cxrsync.sources.base.SeveralSources`."""
        return distrust(self._source, ref)

    async def versions(self, dataset: str) -> list[str]:
        await self._rate_limiter.wait_unpaused()
        return await self._source.versions(dataset)

    async def total(self, dataset: str, version: str) -> int | None:
        await self._rate_limiter.wait_unpaused()
        return await self._source.total(dataset, version)

    async def close(self) -> None:
        await self._source.close()
