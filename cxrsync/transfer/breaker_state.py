"""Whether the server is away, decided purely: the caller has the clock and draws the jitter.

A failure is a request that ends as it would if the server were away: no connection, 429 or 5xx, or
a connection dropped without a byte. After a failure one probe asks for all connections. The server
is away if the probe fails too, and either no bytes arrive any more or clearly fewer answers are
active than the server has served at a time. (Behind a proxy whose own server is gone, active
answers may go on for a while.) Otherwise the server is there, and gets too many requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from cxrsync.transfer.retry_policy import backoff

# A mistyped address should fail soon: this is the longest wait for a server's first answer.
FIRST_ANSWER_SECONDS = 15.0
# Bytes that arrive so soon after a failure were on their way before it.
_IN_FLIGHT_SECONDS = 0.25
# After so many seconds without a byte no answer is active any more.
_SILENT_SECONDS = 2.0
# After so many seconds without a byte the connection was dead: requests made meanwhile prove
# nothing, whenever they fail.
_DEAD_SECONDS = 5.0
# A failure with so many fewer active answers than at the last success is not due to their number.
_CLEARLY_FEWER = 2
# A client adds up to this share of a Retry-After to it: many clients got it at the same moment.
_SPREAD = 0.1
_MAX_SPREAD_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RequestStart:
    """When a request began, and how many requests had been answered by then."""

    at: float
    answers: int


class BreakerState:
    """Closed while requests are answered; open while the server is away.

    Times are in seconds of any one clock that stands still while the machine sleeps.
    ``give_up_after``: for how long the server may be away before the run ends.
    """

    def __init__(self, give_up_after: float) -> None:
        self.answers = 0
        self.is_open = False
        self._give_up_after = give_up_after
        self._alive_at = -inf  # when an answer or bytes last came
        self._failed_at: float | None = None  # the first failure since the last answer
        self._interrupted_at: float | None = None  # the first interruption with no bytes after it
        self._served = 0  # active answers when the last request was answered
        self._away_since: float | None = None
        self._failures = 0
        self._probe_at = -inf
        self._retry_after_until = -inf

    def begin_request(self, now: float) -> RequestStart:
        """Note that a request begins."""
        return RequestStart(now, self.answers)

    def record_success(self, request: RequestStart, now: float, active: int = 0) -> bool:
        """Note an answer: the server is there, and lets us in. Returns whether an outage has ended.

        ``active``: how many answers are being received, this one included.
        """
        is_over = self.is_open or any(
            # A request made before the failure, or just then, proves only that there was no outage.
            since is not None
            and request.at > since + _IN_FLIGHT_SECONDS
            and self._is_silent(now, since)
            for since in (self._failed_at, self._interrupted_at)
        )
        self.answers += 1
        self._served = active
        self._alive_at = now
        self._failed_at = self._interrupted_at = self._away_since = None
        self._failures = 0
        self.is_open = False
        return is_over

    def record_bytes(self, now: float) -> bool:
        """Note that bytes arrived, whenever they were requested.

        Returns whether the connection was dead until now.
        """
        silent = now - self._alive_at
        if silent > _SILENT_SECONDS:
            self._probe_at = -inf  # probe at once
        self._alive_at = now
        self._away_since = None
        if self._interrupted_at is not None and now > self._interrupted_at + _IN_FLIGHT_SECONDS:
            self._interrupted_at = None
        return _DEAD_SECONDS < silent < inf

    def record_interruption(self, now: float) -> None:
        """Note that an answer broke off, or that none came.

        While other answers go on, the connection is to blame. If none goes on, and the next request
        is answered, the server was away in between.
        """
        if self._interrupted_at is None:
            self._interrupted_at = now

    def record_failure(
        self,
        request: RequestStart,
        now: float,
        jitter: float,
        retry_after: float | None = None,
        *,
        active: int = 0,
        by_probe: bool = False,
    ) -> float | None:
        """Note that ``request`` failed, and that no request was answered since it began.

        Returns the seconds until the next probe; None if a probe is planned already.
        ``jitter``: from 0 to 1. ``retry_after``: in seconds, if the server sent it. ``active``: how
        many answers are being received.
        """
        if self._failed_at is None:
            self._failed_at = now
        elif by_probe and (
            self._is_silent(now, self._failed_at) or active <= self._served - _CLEARLY_FEWER
        ):
            self.is_open = True
        if self._away_since is None:
            self._away_since = max(request.at, self._alive_at)
        self.obey_retry_after(now, jitter, retry_after)
        if self._probe_at > now:
            return None
        self._failures += 1
        left = self._max_outage() - (now - self._away_since)
        self._probe_at = max(
            now + min(backoff(self._failures, jitter), max(left, 0.0)), self._retry_after_until
        )
        return self._probe_at - now

    def obey_retry_after(self, now: float, jitter: float, retry_after: float | None) -> None:
        """Allow no request before the server's Retry-After, in seconds, is over.

        One that is longer than the run waits for any server is left to :meth:`should_give_up`.
        """
        if retry_after is not None and 0 < retry_after <= self._give_up_after:
            spread = jitter * min(_SPREAD * retry_after, _MAX_SPREAD_SECONDS)
            since = now if self._away_since is None else self._away_since
            until = min(now + retry_after + spread, since + self._give_up_after)
            self._retry_after_until = max(self._retry_after_until, until)

    def forget_outage(self) -> None:
        """Let requests be made as if the server had just answered: it is asked again later."""
        self._failed_at = self._interrupted_at = self._away_since = None
        self._failures = 0
        self._probe_at = self._retry_after_until = -inf
        self.is_open = False

    def should_give_up(self, now: float, retry_after: float | None = None) -> bool:
        """Whether the server has been away for too long, or will be by its own Retry-After."""
        away_for = 0.0 if self._away_since is None else now - self._away_since
        if retry_after is not None and retry_after > 0:
            return away_for + retry_after > self._give_up_after
        return self._away_since is not None and away_for >= self._max_outage()

    def seconds_until_allowed(self, now: float) -> float:
        """Seconds for which only the probe may make requests.

        Infinite: until a request is answered or, while the breaker is closed, bytes arrive.
        """
        if self.is_open or (self._failed_at is not None and self._is_silent(now, self._failed_at)):
            return inf
        return max(0.0, self._retry_after_until - now)

    def seconds_until_probe(self, now: float) -> float:
        """Seconds until the probe may make a request."""
        return max(0.0, self._probe_at - now, self._retry_after_until - now)

    def _max_outage(self) -> float:
        first = min(FIRST_ANSWER_SECONDS, self._give_up_after)
        return self._give_up_after if self.answers else first

    def _is_silent(self, now: float, failed_at: float) -> bool:
        """Whether no bytes arrive any more since the first failure."""
        return self._alive_at <= max(failed_at + _IN_FLIGHT_SECONDS, now - _SILENT_SECONDS)
