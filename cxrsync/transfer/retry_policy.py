"""When a failed file is asked for again: the wait before it, and when to give up. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
# A file whose Retry-After is longer is put off to the next pass: others can come meanwhile.
_LONGEST_RETRY_AFTER = 900.0


@dataclass(frozen=True, slots=True)
class RetryState:
    """What a file's attempts have met: failures since bytes last arrived."""

    failures: int = 0

    def failed(self, *, progress: bool) -> RetryState:
        """After one more failure; ``progress``: bytes had arrived before it, which refills the
        budget: a line that breaks every megabyte still gets there."""
        return RetryState(1 if progress else self.failures + 1)


def next_delay(
    history: RetryState, retries: int, jitter: float, wish: float = 0.0, longest: float = inf
) -> float | None:
    """Seconds to wait before the next attempt at a file; None: this file has failed.

    ``wish`` is what is left of the server's own (Retry-After), ``longest`` what the run waits for
    a whole server.
    """
    if history.failures > retries or wish > min(_LONGEST_RETRY_AFTER, longest):
        return None
    return max(backoff(history.failures, jitter), wish)


def backoff(failures: int, jitter: float) -> float:
    """Seconds to wait after so many failures in a row: doubling, bounded, spread by jitter."""
    longest: float = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(max(failures - 1, 0), 16))
    return longest * (0.5 + jitter / 2)
