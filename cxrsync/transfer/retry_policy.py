"""The retry policy of one file: the backoff before the next attempt, and when to give up. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

_FIRST_BACKOFF = 1.0
_MAX_BACKOFF = 60.0
# Seconds. A file with a longer Retry-After is left to the next pass: others are fetched meanwhile.
_MAX_RETRY_AFTER = 900.0


@dataclass(frozen=True, slots=True)
class RetryState:
    """How often a file has failed since bytes last arrived."""

    failures: int = 0

    def failed(self, *, progress: bool) -> RetryState:
        """The state after one more failure.

        ``progress``: bytes arrived before it. That refills the budget, so that a file arrives even
        if the connection breaks after every megabyte.
        """
        return RetryState(1 if progress else self.failures + 1)


def next_delay(
    state: RetryState,
    retries: int,
    jitter: float,
    retry_after: float = 0.0,
    give_up_after: float = inf,
) -> float | None:
    """Seconds to wait before the next attempt; None: the file has failed.

    ``retry_after``: what is left of the server's Retry-After, in seconds. ``give_up_after``: the
    longest that the run waits for a server. ``jitter``: from 0 to 1.
    """
    if state.failures > retries or retry_after > min(_MAX_RETRY_AFTER, give_up_after):
        return None
    return max(backoff(state.failures, jitter), retry_after)


def backoff(failures: int, jitter: float) -> float:
    """Seconds to wait after so many failures in a row: doubled each time, bounded, with jitter."""
    longest: float = min(_MAX_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(max(failures - 1, 0), 16))
    return longest * (0.5 + jitter / 2)
