"""How much each connection reads ahead of what the rate limit lets through."""

from __future__ import annotations

from cxrsync.config.job import TransferLimits

_MAX_BYTES = 1 << 18
_MIN_BYTES = 1 << 12
_MIN_BYTES_BY_TIMETABLE = 1 << 14
_SECONDS = 0.25


def read_buffer(limits: TransferLimits) -> int:
    """The read buffer of a connection, in bytes: its share of the rate in a quarter second.

    With more, a connection would wait so long for its share that the server cuts it off. It
    outlives a change of the rate, so the slowest one counts; but a tiny buffer would slow down the
    hours in which another rate holds.
    """
    slowest = limits.rate.slowest
    if slowest is None:
        return _MAX_BYTES
    least = _MIN_BYTES if len(limits.rate.rates) == 1 else _MIN_BYTES_BY_TIMETABLE
    return int(min(_MAX_BYTES, max(least, slowest / limits.connections * _SECONDS)))
