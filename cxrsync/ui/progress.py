"""The progress of a run: how many files, at what rate, and how long it will still take."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic

from cxrsync import humanize
from cxrsync.events import Checked, Event, FileDone, Planned, Received
from cxrsync.model import Outcome, Result

_RATE_WINDOW = 30.0


def is_problem(outcome: Outcome) -> bool:
    """Whether an outcome is a failure or a mismatch."""
    return outcome.result in {Result.FAILED, Result.CONTRADICTED, Result.ACKNOWLEDGED}


class Progress:
    """The progress of a run, from its events alone. Times are in seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._arrivals: deque[tuple[float, int]] = deque([(clock(), 0)])
        self.received = 0
        self.todo = 0
        self.done = 0
        self.fetched = 0
        self.fetched_bytes = 0
        self.failed = 0

    def listen(self, event: Event) -> None:
        if isinstance(event, Planned):
            self.todo += event.to_fetch + event.to_hash + event.blocked
        elif isinstance(event, Received):
            self._arrive(event.count)
        elif isinstance(event, FileDone):
            self.done += 1
            if event.outcome.result is Result.FETCHED:
                self.fetched += 1
                self.fetched_bytes += event.outcome.size
            elif is_problem(event.outcome):
                self.failed += 1
        elif isinstance(event, Checked) and event.size:
            self.done += 1
            self.fetched += 1
            self.fetched_bytes += event.size
            self._arrive(event.size)

    def _arrive(self, count: int) -> None:
        self.received += count
        self._arrivals.append((self._clock(), self.received))
        self._forget_old()

    def _forget_old(self) -> None:
        """Forget arrivals before the window, except the last: the rate counts from it."""
        began = self._clock() - _RATE_WINDOW
        while len(self._arrivals) > 1 and self._arrivals[1][0] <= began:
            self._arrivals.popleft()

    @property
    def rate(self) -> float:
        """Bytes per second over the last half minute."""
        self._forget_old()
        since, count = self._arrivals[0]
        elapsed = self._clock() - since
        return (self.received - count) / elapsed if elapsed > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the run will still take, by the mean size so far; None if not known."""
        if not self.fetched or self.rate <= 0:
            return None
        return (self.todo - self.done) * (self.fetched_bytes / self.fetched) / self.rate

    def __str__(self) -> str:
        text = f"{humanize.size(self.received)} at {humanize.size(self.rate)}/s"
        if self.seconds_left is not None and self.done < self.todo:
            text += f", about {humanize.duration(self.seconds_left)} left"
        return text + (f", {self.failed} failed" if self.failed else "")
