"""One rate for all connections of a run together (``--limit-rate``)."""

from __future__ import annotations

import asyncio

_SAVED_UP = 0.2


def free_at(before: float, now: float, count: int, rate: float) -> float:
    """When a line that is free at ``before`` will have carried ``count`` bytes more, at ``rate``
    bytes per second; times in seconds of one clock.

    The schedule is absolute, so that timers that fire late do not add up; but a line that has been
    idle has saved up no more than a moment, or a rate would mean nothing after each pause.
    """
    return max(before, now - _SAVED_UP) + count / rate


class RateLimiter:
    """Whoever has taken bytes from the line waits until that many may have come.

    ``rate`` is in bytes per second; None: there is no limit. What is not read waits at the server,
    which sends no faster than it is read.
    """

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._free_at = 0.0

    async def consume(self, count: int) -> None:
        """Wait for ``count`` bytes' worth of time, behind those who took theirs before."""
        if self._rate is None:
            return
        now = asyncio.get_running_loop().time()
        self._free_at = free_at(self._free_at, now, count, self._rate)
        await asyncio.sleep(self._free_at - now)
