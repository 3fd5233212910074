"""The transfers in progress, and which connection fetches which segment of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from cxrsync.errors import unwrapped
from cxrsync.transfer.segments import Segment
from cxrsync.transfer.transfer import Transfer


class TransferPool:
    """Assigns segments of the transfers in progress to connections; idle connections wait here."""

    def __init__(self) -> None:
        self._transfers: dict[Transfer, None] = {}  # a set that keeps its order
        self._changed = asyncio.Event()
        self._idle = 0

    def __len__(self) -> int:
        return len(self._transfers)

    def __iter__(self) -> Iterator[Transfer]:
        return iter(list(self._transfers))

    def add(self, transfer: Transfer) -> None:
        """Note that ``transfer`` has begun."""
        self._transfers[transfer] = None

    def remove(self, transfer: Transfer) -> None:
        """Note that ``transfer`` has ended."""
        self._transfers.pop(transfer, None)

    def free_segment(self) -> tuple[Transfer, Segment] | None:
        """A segment that no connection is fetching; None if there is none."""
        for transfer in self._transfers:
            if transfer.failure is None and not transfer.unchanged and transfer.has_room:
                idle = self._idle if transfer.splittable else 0
                segment = transfer.segments.take_idle(idle + 1)
                if segment is not None:
                    return transfer, segment
        return None

    def shared_segment(self) -> tuple[Transfer, Segment] | None:
        """The second part of the longest segment in progress; None if no segment can be split."""
        splittable = [
            each
            for each in self._transfers
            if each.splittable and not each.failure and each.has_room
        ]
        longest = max(splittable, key=lambda each: each.segments.longest, default=None)
        segment = longest.segments.split_longest(self._idle + 1) if longest is not None else None
        return None if longest is None or segment is None else (longest, segment)

    async def wait_for_work(self) -> None:
        """Wait for :meth:`notify`. No await may come between the search for a segment and this."""
        self._idle += 1
        try:
            await self._changed.wait()
        finally:
            self._idle -= 1

    def notify(self) -> None:
        """Let every idle connection look for a segment again."""
        if self._idle:
            self._changed.set()
            self._changed = asyncio.Event()


async def fetch_alone(pool: TransferPool, transfer: Transfer, connections: int) -> None:
    """Fetch one file over as many of ``connections`` as it can use.

    Raises any CxrsyncError that ends the run; the file's own failure is in ``transfer.failure``.
    """

    async def connection() -> None:
        while not transfer.finished:
            found = pool.free_segment() or pool.shared_segment()
            if found is None:
                await pool.wait_for_work()
                continue
            await transfer.fetch(found[1])
            pool.notify()

    pool.add(transfer)
    try:
        with unwrapped():
            async with asyncio.TaskGroup() as group:
                for _ in range(connections):
                    group.create_task(connection())
    finally:
        pool.remove(transfer)
