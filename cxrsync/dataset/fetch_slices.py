"""Only the slices of a manifest that matter: found by bisection with small ranged requests, several
at a time, and kept as present ranges of the one partial that may become the whole."""

from __future__ import annotations

from collections.abc import Sequence

from cxrsync.manifest.bisect import ManifestNotSorted, Range
from cxrsync.manifest.file import FAN_OUT, ManifestFile
from cxrsync.manifest.key_ranges import KeyRange, find_slices
from cxrsync.model import RemotePath
from cxrsync.storage.executors import run_in_thread
from cxrsync.storage.partial import Partial
from cxrsync.transfer.context import TransferContext
from cxrsync.transfer.options import TransferOptions
from cxrsync.transfer.pool import TransferPool, fetch_alone
from cxrsync.transfer.transfer import Transfer

# Asked for first: a small manifest is all in it, of a large one its first root files.
_HEAD = 32 << 10
# A manifest of this size is fetched whole: it costs less than the search.
_SMALL = 1 << 20
_ATTEMPTS = 3


class _ChangedError(Exception):
    """The manifest became another while it was searched: begin again."""


async def fetch_slices(
    context: TransferContext,
    pool: TransferPool,
    ref: RemotePath,
    partial: Partial,
    keys: tuple[KeyRange, ...],
    *,
    ask: bool,
) -> ManifestFile | None:
    """The slices of the manifest that hold ``keys``; None where only the whole will do: it is
    small, all here, not sorted, or the source gives nothing to prove that its parts belong
    together.

    With ``ask`` the source is asked, in any case, whether what is here is still its own.
    """
    await run_in_thread(partial.load)
    search = _Search(context, pool, ref, partial)
    for _attempt in range(_ATTEMPTS):
        try:
            return await search.run(keys, ask=ask)
        except _ChangedError:
            ask = True
    return None


class _Search:
    """One bisection over one partial: what is not there is fetched into it."""

    def __init__(
        self, context: TransferContext, pool: TransferPool, ref: RemotePath, partial: Partial
    ) -> None:
        self._context = context
        self._pool = pool
        self._ref = ref
        self._partial = partial

    async def run(self, keys: tuple[KeyRange, ...], *, ask: bool) -> ManifestFile | None:
        """Raises _ChangedError, and what ends a run."""
        validator = self._validator()
        if validator is None and self._partial.size:
            await run_in_thread(self._partial.discard)
        if validator is None or ask:
            await self._fetch([(0, _HEAD)], skip_if=validator)
        total = self._partial.total
        if self._validator() is None or total is None or total <= _SMALL:
            return None
        try:
            slices = await self._find(keys, total)
            return await run_in_thread(lambda: self._opened(slices, keys))
        except ManifestNotSorted:
            return None

    def _opened(self, slices: tuple[Range, ...], keys: tuple[KeyRange, ...]) -> ManifestFile:
        """The slices, called by the name that they have once we have done."""
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
        epoch = self._partial.generation
        await transfer.begin(load=False)
        await fetch_alone(self._pool, transfer, self._context.limits.connections)
        if self._partial.generation != epoch:
            raise _ChangedError
        if transfer.failure is not None:
            raise transfer.failure

    def _validator(self) -> str | None:
        """What binds the parts together, as far as this source is concerned."""
        bound = self._partial.object_version
        here = self._context.source.identity
        return bound.validator if bound is not None and bound.source == here else None
