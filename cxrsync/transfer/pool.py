"""The files in flight, and which connection helps with which of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from cxrsync.errors import unwrapped
from cxrsync.transfer.segments import Segment
from cxrsync.transfer.transfer import Transfer


class TransferPool:
    """Hands stretches of the files in flight to connections, and lets idle ones wait for news."""

    def __init__(self) -> None:
        self._transfers: dict[Transfer, None] = {}  # a set that keeps its order
        self._news = asyncio.Event()
        self._idle = 0

    def __len__(self) -> int:
        return len(self._transfers)

    def __iter__(self) -> Iterator[Transfer]:
        return iter(list(self._transfers))

    def add(self, transfer: Transfer) -> None:
        """``transfer`` has begun."""
        self._transfers[transfer] = None

    def remove(self, transfer: Transfer) -> None:
        """``transfer`` is over."""
        self._transfers.pop(transfer, None)

    def free_segment(self) -> tuple[Transfer, Segment] | None:
        """A stretch that nobody is at work on."""
        for transfer in self._transfers:
            if transfer.failure is None and not transfer.unchanged:
                idle = self._idle if transfer.splittable else 0
                segment = transfer.segments.take_idle(idle + 1)
                if segment is not None:
                    return transfer, segment
        return None

    def shared_segment(self) -> tuple[Transfer, Segment] | None:
        """The end of the longest stretch in work."""
        splittable = [each for each in self._transfers if each.splittable and not each.failure]
        longest = max(splittable, key=lambda each: each.segments.longest, default=None)
        segment = longest.segments.split_longest(self._idle + 1) if longest is not None else None
        return None if longest is None or segment is None else (longest, segment)

    async def wait_for_work(self) -> None:
        """Idle until there is news. No await may stand between the look and this call."""
        self._idle += 1
        try:
            await self._news.wait()
        finally:
            self._idle -= 1

    def notify(self) -> None:
        """Something has changed: every idle connection looks again."""
        if self._idle:
            self._news.set()
            self._news = asyncio.Event()


async def fetch_alone(pool: TransferPool, transfer: Transfer, connections: int) -> None:
    """Fetch one file over as many connections as it can use. Raises what ends the run."""

    async def connection() -> None:
        while not transfer.finished:
            taken = pool.free_segment() or pool.shared_segment()
            if taken is None:
                await pool.wait_for_work()
                continue
            await transfer.fetch(taken[1])
            pool.notify()

    pool.add(transfer)
    try:
        with unwrapped():
            async with asyncio.TaskGroup() as group:
                for _ in range(connections):
                    group.create_task(connection())
    finally:
        pool.remove(transfer)
