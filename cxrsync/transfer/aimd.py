"""How many requests may be made at a time (``--connections auto``), decided purely.

The caller has the clock. The number grows by one after a quiet while, and is halved after an
overload, as TCP does with its packets (additive increase, multiplicative decrease). Three things
differ:

- The number that caused an overload is remembered. Up to it the number grows quickly; beyond it
  each further attempt waits longer, since each attempt costs somebody a refusal.
- One broken connection is no overload, because connections break; several of them are.
- A server that is away says nothing about the number. What the beginning of an outage has taken
  off the number is given back after the outage: half at once, and the rest soon.
"""

from __future__ import annotations

from dataclasses import dataclass

# One more request after so many seconds without an overload.
STEP_SECONDS = 5.0
# Seconds before a number that caused an overload is tried again; doubled each time that it fails.
FIRST_PATIENCE = 45.0
LONGEST_PATIENCE = 1800.0
# An overload is two connections that break before they are answered, or three that break after
# that, with fewer than twenty-five answers between them.
_OVERLOAD_SUSPICION = 1.5
_ANSWER_REDUCES = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class RequestToken:
    """The beginning of a request: the time, the era, and the number of requests allowed then.

    A result is never blamed on a later change: a connect that times out began half a minute ago.
    An era ends when the number is halved, when an outage is over, when the machine wakes from
    sleep, and when a dead connection comes back.
    """

    at: float
    era: int
    size: int


@dataclass(frozen=True, slots=True)
class _Learnt:
    """What was known about the server before an overload or an outage."""

    size: int
    limit: int
    patience: float


class AimdWindow:
    """``size``: how many requests may be made now; from ``first`` up to ``most`` of them.

    Where ``first`` and ``most`` are equal the size never changes. ``now``: seconds of any one
    clock.
    """

    def __init__(self, first: int, most: int, now: float) -> None:
        self.size = first
        self._most = most
        self._fixed = first == most
        self._limit = most  # more than this has caused an overload
        self._patience = FIRST_PATIENCE
        self._size_before_outage = 0
        self._era = 0
        # What was known before the first halving since the last answer: if no request is answered,
        # the server may just be away.
        self._before: _Learnt | None = None
        self._suspicion = 0.0
        self._changed_at = now
        self._unanswered: dict[RequestToken, None] = {}  # oldest first

    def begin_request(self, now: float) -> RequestToken:
        """Note that a request begins.

        The token is given back with the request's result, and to :meth:`end_request`.
        """
        token = RequestToken(now, self._era, self.size)
        self._unanswered[token] = None
        return token

    def record_answer(self, token: RequestToken, now: float) -> bool:
        """Note that a request was answered. Returns whether ``size`` has grown."""
        self.end_request(token)
        self._suspicion = max(0.0, self._suspicion - _ANSWER_REDUCES)
        if token.era == self._era:
            self._before = None
        return self.record_bytes(now)

    def record_bytes(self, now: float) -> bool:
        """Note that bytes have arrived. Returns whether ``size`` has grown."""
        oldest = next(iter(self._unanswered), None)
        if self.size == self._most or now - self._changed_at < STEP_SECONDS:
            return False
        if oldest is not None and now - oldest.at >= STEP_SECONDS:
            return False  # perhaps this request was already one too many
        if self.size < self._size_before_outage:
            self.size = min(2 * self.size, self._size_before_outage)
            self._changed_at = now
            return True
        if self.size == self._limit:
            if now - self._changed_at < self._patience:
                return False
            self._limit += 1
        self.size += 1
        self._changed_at = now
        return True

    def record_interruption(self, token: RequestToken, now: float) -> bool:
        """Note that a connection broke or went silent. Returns whether ``size`` has shrunk."""
        if token.era != self._era:
            return False
        # The server has admitted a request that it answered: a later break is rather the network's.
        self._suspicion += 1.0 if token in self._unanswered else 0.5
        return self._suspicion >= _OVERLOAD_SUSPICION and self.record_overload(token, now)

    def record_overload(self, token: RequestToken, now: float, *, by_us: bool = False) -> bool:
        """Note that no connection could be made, or that the server asks for fewer requests.

        Returns whether ``size`` has shrunk: however many requests meet one overload, it counts
        once. ``by_us``: the server has said that this client makes too many requests (429).
        """
        if self._fixed or token.era != self._era:
            return False
        self._era += 1
        self._suspicion = 0.0
        if self._before is None:
            self._before = self._learnt()
            self._limit = max(1, token.size - 1)
            if token.at - self._changed_at < self._patience:  # an attempt that has failed
                self._patience = min(LONGEST_PATIENCE, 2 * self._patience)
            else:
                self._patience = FIRST_PATIENCE
        if by_us:
            self._before = None
        self._size_before_outage = 0
        self.size = max(1, token.size // 2)
        self._changed_at = now
        return True

    def server_down(self) -> None:
        """Note that the server is away: the last overload says nothing about the number."""
        learnt = self._before or self._learnt()
        self._before = None
        self._size_before_outage = learnt.size
        self._limit, self._patience = learnt.limit, learnt.patience
        self.begin_era()

    def server_up(self, now: float) -> None:
        """Note that the server is back: half of the former number at once, the rest soon."""
        self.server_down()
        if not self._fixed:
            self.size = max(1, self._size_before_outage // 2)
            self._changed_at = now

    def begin_era(self) -> None:
        """Learn nothing from the requests so far: the machine slept, or the connection was dead."""
        self._era += 1
        self._suspicion = 0.0
        self._unanswered.clear()

    def end_request(self, token: RequestToken) -> None:
        """Note that the request is over, however it ended."""
        self._unanswered.pop(token, None)

    def _learnt(self) -> _Learnt:
        return _Learnt(max(self.size, self._size_before_outage), self._limit, self._patience)
