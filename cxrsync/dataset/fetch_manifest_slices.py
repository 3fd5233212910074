"""Fetch only those slices of a manifest that a selection needs.

The slices are found by bisection: small range requests, several at a time. Their bytes are stored
as ranges of the manifest's one partial, which may become the whole manifest later.
"""

from __future__ import annotations

from collections.abc import Sequence

from cxrsync.manifest.bisect import ManifestNotSorted, Range
from cxrsync.manifest.file import FAN_OUT, ManifestFile
from cxrsync.manifest.key_ranges import KeyRange, find_slices
from cxrsync.model import RemotePath
from cxrsync.sources.base import identity_of
from cxrsync.storage.partial import Partial
from cxrsync.threads import run_in_thread
from cxrsync.transfer.pool import TransferPool, fetch_alone
from cxrsync.transfer.transfer import Transfer
from cxrsync.transfer.transfer_context import TransferContext
from cxrsync.transfer.transfer_options import TransferOptions

# The first request: it holds all of a small manifest, and the first root files of a large one.
_HEAD_BYTES = 32 << 10
# A manifest of up to this size is fetched whole: that costs less than the search.
_SMALL_BYTES = 1 << 20
_MAX_ATTEMPTS = 3


class _ChangedError(Exception):
    """The manifest changed at the source during the search, which has to start again."""


async def fetch_slices(
    context: TransferContext,
    pool: TransferPool,
    ref: RemotePath,
    partial: Partial,
    keys: tuple[KeyRange, ...],
    *,
    revalidate: bool,
) -> ManifestFile | None:
    """Return the slices of the manifest with ``keys``; None if the whole manifest has to be used.

    That is so if the manifest is small, complete in the partial or not sorted, or if the source
    gives no strong ETag, which would prove that its parts belong together.

    ``revalidate``: ask the source in any case whether the bytes in the partial are still current.

    Raises: any CxrsyncError that ends the run.
    """
    await run_in_thread(partial.load)
    search = _Search(context, pool, ref, partial)
    for _attempt in range(_MAX_ATTEMPTS):
        try:
            return await search.run(keys, revalidate=revalidate)
        except _ChangedError:
            revalidate = True
    return None


class _Search:
    """A bisection over one partial, which fetches the bytes that the partial lacks."""

    def __init__(
        self, context: TransferContext, pool: TransferPool, ref: RemotePath, partial: Partial
    ) -> None:
        self._context = context
        self._pool = pool
        self._ref = ref
        self._partial = partial

    async def run(self, keys: tuple[KeyRange, ...], *, revalidate: bool) -> ManifestFile | None:
        """Search once. Raises: _ChangedError, and any CxrsyncError that ends the run."""
        validator = self._validator()
        if validator is None and self._partial.size:
            await run_in_thread(self._partial.discard)
        if validator is None or revalidate:
            await self._fetch([(0, _HEAD_BYTES)], skip_if=validator)
        total = self._partial.total
        if self._validator() is None or total is None or total <= _SMALL_BYTES:
            return None
        try:
            slices = await self._find(keys, total)
            return await run_in_thread(lambda: self._open_slices(slices, keys))
        except ManifestNotSorted:
            return None

    def _open_slices(self, slices: tuple[Range, ...], keys: tuple[KeyRange, ...]) -> ManifestFile:
        """Open the slices, under the name that the partial gets when the lock is released."""
        file = self._partial.path.open("rb")
        return ManifestFile(self._partial.unclaimed_path, slices, keys, opened=file)

    async def _find(self, keys: tuple[KeyRange, ...], total: int) -> tuple[Range, ...]:
        search = find_slices(keys, total, FAN_OUT)
        try:
            ranges = next(search)
            while True:
                await self._fetch(ranges)
                ranges = search.send(await run_in_thread(lambda ranges=ranges: self._read(ranges)))  # type: ignore[misc]
        except StopIteration as done:
            slices: tuple[Range, ...] = done.value
            return slices

    def _read(self, ranges: Sequence[Range]) -> tuple[bytes, ...]:
        return tuple(self._partial.read(start, stop) for start, stop in ranges)

    async def _fetch(self, ranges: Sequence[Range], skip_if: str | None = None) -> None:
        transfer = Transfer(
            self._context,
            self._ref,
            self._partial,
            TransferOptions(only=ranges, skip_if=skip_if, by_digest=False),
        )
        generation = self._partial.generation
        await transfer.begin(load=False)
        await fetch_alone(self._pool, transfer, self._context.limits.connections)
        if self._partial.generation != generation:
            raise _ChangedError
        if transfer.failure is not None:
            raise transfer.failure

    def _validator(self) -> str | None:
        """Return the validator of the partial's bytes; None if they are not from this source."""
        bound = self._partial.object_version
        source = identity_of(self._context.source, self._ref)
        return bound.validator if bound is not None and bound.source == source else None
