"""Whether the server is there, purely: the caller has the clock and draws the jitter.

A refusal is a request that came to nothing as it would if the server were away: no connection, 429
or 5xx, a connection dropped without a byte. From then on one probe asks for all. The server is away
if that is refused too although nothing is under way any more, or clearly less than it has served at
a time; for answers may go on for a while behind a proxy whose own server is gone. Otherwise it is
there, and asked too much.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from cxrsync.transfer.retry_policy import backoff

# A mistyped address should say so at once: nobody waits longer for a server's first answer.
FIRST_ANSWER_SECONDS = 15.0
# What arrives so soon after a refusal was under way before it.
_UNDER_WAY_SECONDS = 0.25
# Without a byte for so long nothing flows any more.
_SILENT_SECONDS = 2.0
# Whatever was asked meanwhile, and whenever it fails, it is the line's fault.
_DEAD_SECONDS = 5.0
# So much less is under way than at the last answer, and it refuses: that is not for their number.
_CLEARLY_FEWER = 2
# Of a Retry-After, at the most, that a client stays away beyond it: many were told the same moment.
_SPREAD = 0.1
_LONGEST_SPREAD = 60.0


@dataclass(frozen=True, slots=True)
class Request:
    """A request's beginning: when it was, and how many had been answered by then."""

    at: float
    answers: int


class BreakerState:
    """Closed while requests are answered; open while the server is away. Times are in seconds of
    any one clock that stands still while the machine sleeps.

    ``give_up_after``: for how long the server may be away before the run ends.
    """

    def __init__(self, give_up_after: float) -> None:
        self.answers = 0
        self.is_open = False
        self._give_up_after = give_up_after
        self._alive_at = -inf  # when an answer or bytes last came
        self._refused_at: float | None = None  # the first refusal since the last answer
        self._broke_at: float | None = None  # the first break after which nothing came
        self._served = 0  # at a time, when the last request was answered
        self._away_since: float | None = None
        self._refusals = 0
        self._probe_at = -inf
        self._wish_until = -inf

    def asked(self, now: float) -> Request:
        """A request begins."""
        return Request(now, self.answers)

    def answered(self, request: Request, now: float, under_way: int = 0) -> bool:
        """The server is there, and lets us in. True if an outage has ended with this answer.

        ``under_way``: how many answers are being received, this one included.
        """
        over = self.is_open or any(
            # Who was asked before that, or just then, proves only that there was no outage.
            since is not None
            and request.at > since + _UNDER_WAY_SECONDS
            and self._is_silent(now, since)
            for since in (self._refused_at, self._broke_at)
        )
        self.answers += 1
        self._served = under_way
        self._alive_at = now
        self._refused_at = self._broke_at = self._away_since = None
        self._refusals = 0
        self.is_open = False
        return over

    def flowing(self, now: float) -> bool:
        """Bytes arrive, whenever they were asked for. True if the line was dead until now."""
        silent = now - self._alive_at
        if silent > _SILENT_SECONDS:
            self._probe_at = -inf  # ask at once
        self._alive_at = now
        self._away_since = None
        if self._broke_at is not None and now > self._broke_at + _UNDER_WAY_SECONDS:
            self._broke_at = None
        return _DEAD_SECONDS < silent < inf

    def broke(self, now: float) -> None:
        """An answer broke off, or none came: where the others go on it is the line's doing. Where
        nothing goes on, and the next request is answered, the server was away in between."""
        if self._broke_at is None:
            self._broke_at = now

    def refused(
        self,
        request: Request,
        now: float,
        jitter: float,
        wish: float | None = None,
        *,
        under_way: int = 0,
        by_probe: bool = False,
    ) -> float | None:
        """Nobody has been answered since ``request`` was made, and it was refused. Seconds that are
        waited for that; None where it is the same refusal that others wait for already.

        ``jitter``: from 0 to 1; ``wish``: Retry-After in seconds; ``under_way``: how many answers
        are being received.
        """
        if self._refused_at is None:
            self._refused_at = now
        elif by_probe and (
            self._is_silent(now, self._refused_at) or under_way <= self._served - _CLEARLY_FEWER
        ):
            self.is_open = True
        if self._away_since is None:
            self._away_since = max(request.at, self._alive_at)
        self.heed(now, jitter, wish)
        if self._probe_at > now:
            return None
        self._refusals += 1
        left = self._patience() - (now - self._away_since)
        self._probe_at = max(
            now + min(backoff(self._refusals, jitter), max(left, 0.0)), self._wish_until
        )
        return self._probe_at - now

    def heed(self, now: float, jitter: float, wish: float | None) -> None:
        """Nobody asks before the server's own wish, in seconds, is over. One that is longer than
        the run waits for any server is left to :meth:`is_hopeless`."""
        if wish is not None and 0 < wish <= self._give_up_after:
            spread = jitter * min(_SPREAD * wish, _LONGEST_SPREAD)
            since = now if self._away_since is None else self._away_since
            until = min(now + wish + spread, since + self._give_up_after)
            self._wish_until = max(self._wish_until, until)

    def is_hopeless(self, now: float, wish: float | None = None) -> bool:
        """Whether the server has been away for too long, or will be by its own word."""
        away_for = 0.0 if self._away_since is None else now - self._away_since
        if wish is not None and wish > 0:
            return away_for + wish > self._give_up_after
        return self._away_since is not None and away_for >= self._patience()

    def hold(self, now: float) -> float:
        """Seconds for which nobody may ask but the probe; infinite: until there is an answer, or,
        as long as it is not open, bytes flow."""
        if self.is_open or (
            self._refused_at is not None and self._is_silent(now, self._refused_at)
        ):
            return inf
        return max(0.0, self._wish_until - now)

    def probe_in(self, now: float) -> float:
        """Seconds until the probe may ask."""
        return max(0.0, self._probe_at - now, self._wish_until - now)

    def _patience(self) -> float:
        first = min(FIRST_ANSWER_SECONDS, self._give_up_after)
        return self._give_up_after if self.answers else first

    def _is_silent(self, now: float, refused_at: float) -> bool:
        """Whether nothing comes any more since the first refusal."""
        return self._alive_at <= max(refused_at + _UNDER_WAY_SECONDS, now - _SILENT_SECONDS)
