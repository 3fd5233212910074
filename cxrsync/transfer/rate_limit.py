"""The rate limit that all connections of a run share (``--limit-rate``)."""

from __future__ import annotations

import asyncio

# Seconds of unused time that may be made up for.
_MAX_SAVED = 0.2


def due_at(before: float, now: float, count: int, rate: float) -> float:
    """The time at which ``count`` more bytes are due, if all earlier ones are due at ``before``.

    ``rate`` is in bytes per second; times are in seconds of one clock. The schedule is absolute, so
    that late timers do not add up. But idle time is made up for only briefly, because otherwise the
    rate would be exceeded after each pause.
    """
    return max(before, now - _MAX_SAVED) + count / rate


class RateLimiter:
    """Makes each connection wait until the bytes that it has received are due.

    ``rate`` is in bytes per second; None: no limit. Bytes that are not read wait at the server,
    which sends no faster than its client reads.
    """

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._due_at = 0.0

    async def consume(self, count: int) -> None:
        """Wait until ``count`` bytes are due, after all bytes that were consumed before."""
        if self._rate is None:
            return
        now = asyncio.get_running_loop().time()
        self._due_at = due_at(self._due_at, now, count, self._rate)
        await asyncio.sleep(self._due_at - now)
