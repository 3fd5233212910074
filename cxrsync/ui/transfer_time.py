"""How long the rest of a transfer takes: bytes take time, and so does each request.

Of many small files the server answers so many per second, however fast the line is. The time left
is

    bytes left / rate of the bytes + files left x seconds per request

The two numbers are chosen so that they explain the last half minute. For more files of the same
sort any such choice gives the same result; which part of the time requests took matters for others,
as one large file after many tiny ones. It shows if the line has been faster while nothing new was
requested: with the manifest, or one large file. Where that cannot be seen, or is too small a part
to be measured, a request takes what is usual.
"""

from __future__ import annotations

from collections.abc import Callable

from cxrsync.ui.transfer_rate import TransferRate

# So long nothing new was requested, until the rate is one of bytes alone.
_QUIET_SECONDS = 3.0
# Until a far server answers a request. Each connection waits for its own.
_USUAL_ANSWER_SECONDS = 0.4
# A smaller part of the time is lost in the ups and downs of a line.
_MEASURABLE = 0.1


def part_of_requests(rate: float, bulk_rate: float, answers: float, usual_seconds: float) -> float:
    """Return which part of the time the requests took, from 0 to 1.

    ``rate``, ``answers``: bytes and answered requests per second. ``bulk_rate``: bytes per second
    while nothing new was requested, 0 if unknown. ``usual_seconds``: what one request usually
    takes, of all connections together.
    """
    usual = answers * usual_seconds
    measured = max(0.0, 1 - rate / bulk_rate) if bulk_rate > 0 else 0.0
    return usual if abs(measured - usual) < _MEASURABLE else measured


class TransferTime:
    """Bytes and answered requests over time, by a clock that :meth:`run` and :meth:`stop` control.
    Times are in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._bytes = TransferRate(clock)
        self._answers = TransferRate(clock)
        self._since_answer = TransferRate(clock)
        self._clock = clock
        self._is_running = False
        self._bulk_rate = 0.0

    def run(self) -> None:
        """Let the clock run from now on."""
        self._is_running = True
        for each in (self._bytes, self._answers, self._since_answer):
            each.run()

    def stop(self) -> None:
        """Stop the clock."""
        self._is_running = False
        for each in (self._bytes, self._answers, self._since_answer):
            each.stop()

    def receive(self, count: int) -> None:
        """Note that so many bytes arrived; negative if they were discarded."""
        self._bytes.add(count)
        self._since_answer.add(count)
        if self._since_answer.elapsed >= _QUIET_SECONDS:
            self._bulk_rate = self._since_answer.rate

    def answer(self) -> None:
        """Note that a request for a file was answered."""
        self._answers.add(1)
        self._since_answer = TransferRate(self._clock)
        if self._is_running:
            self._since_answer.run()

    @property
    def rate(self) -> float:
        """Bytes per second of the last half minute; 0 if nothing arrived, and in the first
        moment."""
        return self._bytes.rate

    def seconds(self, count: float, files: int, connections: int) -> float | None:
        """Return how long so many bytes take, in so many files that are not requested yet; None if
        that cannot be said."""
        if count <= 0:
            return 0.0
        rate, answers = self.rate, self._answers.rate
        if rate <= 0:
            return None
        usual = _USUAL_ANSWER_SECONDS / max(1, connections)
        if answers <= 0:
            return count / rate + files * usual
        # With no request to come, what is usual for one does not matter.
        part = part_of_requests(rate, self._bulk_rate, answers, usual if files else 0.0)
        return count * (1 - part) / rate + files * part / answers
