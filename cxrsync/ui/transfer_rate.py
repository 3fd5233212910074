"""The rate of the last seconds in which something could be transferred."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

_WINDOW = 30.0
# In less time than this there is no rate yet: the first bytes say nothing about the next ones.
_MIN_SECONDS = 0.5


class TransferRate:
    """Bytes per second over the last half minute, by a clock that runs only between :meth:`run` and
    :meth:`stop`: planning, a pause and a question to the user are not a slow network."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._running_since: float | None = None
        self._ran_for = 0.0
        self.count = 0
        self._arrivals: deque[tuple[float, int]] = deque([(0.0, 0)])

    def run(self) -> None:
        """Let the clock run from now on."""
        if self._running_since is None:
            self._running_since = self._clock()

    def stop(self) -> None:
        """Stop the clock."""
        self._ran_for = self._now()
        self._running_since = None

    def add(self, count: int) -> None:
        """Note that so many bytes arrived; negative if they were discarded."""
        self.count += count
        self._arrivals.append((self._now(), self.count))
        self._forget_old()

    @property
    def rate(self) -> float:
        """Bytes per second; 0 if nothing arrived, and in the first moment."""
        self._forget_old()
        since, count = self._arrivals[0]
        elapsed = self._now() - since
        return max(0.0, (self.count - count) / elapsed) if elapsed >= _MIN_SECONDS else 0.0

    @property
    def elapsed(self) -> float:
        """For how many seconds the clock has run."""
        return self._now()

    def _now(self) -> float:
        since = self._running_since
        return self._ran_for + (0.0 if since is None else self._clock() - since)

    def _forget_old(self) -> None:
        """Forget arrivals before the window, except the last: the rate counts from it."""
        began = self._now() - _WINDOW
        while len(self._arrivals) > 1 and self._arrivals[1][0] <= began:
            self._arrivals.popleft()
