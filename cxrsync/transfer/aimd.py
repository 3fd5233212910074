"""How many connections may be at work (``--connections auto``), purely: the caller has the clock.

One more after a quiet while, half after trouble, as TCP does with its packets (additive increase,
multiplicative decrease), with three differences. The number that brought trouble is remembered: up
to there the climb back is quick, and to try it again takes ever longer, since each try costs
somebody a refusal. One broken connection is the line's doing and no trouble; several of them are.
And a server that is away says nothing of the number: what an outage's beginning took is given back,
half of it at once and the rest soon.
"""

from __future__ import annotations

from dataclasses import dataclass

# One more connection after so many seconds without trouble.
STEP_SECONDS = 5.0
# Seconds before what brought trouble once is tried again: doubled when it does so again.
FIRST_PATIENCE = 45.0
LONGEST_PATIENCE = 1800.0
# Trouble is two connections that break before they are answered, or three after that, with less
# than twenty-five answers between them.
_TROUBLE = 1.5
_ANSWER_DISPELS = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class RequestToken:
    """A request's beginning: when it was, in which era, how large the number was.

    What becomes of it must not be blamed on what has changed since: a connect that times out has
    begun half a minute ago. An era ends when the number is halved, when an outage is over, and
    when the machine wakes or a dead line comes back.
    """

    at: float
    era: int
    size: int


@dataclass(frozen=True, slots=True)
class _Learnt:
    """What was held of the server before it was asked too much, or was away."""

    size: int
    limit: int
    patience: float


class AimdWindow:
    """``size``: how many connections may be at work now, from ``first`` up to ``most`` of them.

    Where these two are equal it stays so, whatever happens. ``now``: seconds of any one clock.
    """

    def __init__(self, first: int, most: int, now: float) -> None:
        self.size = first
        self._most = most
        self._fixed = first == most
        self._limit = most  # what is above it has brought trouble
        self._patience = FIRST_PATIENCE
        self._regain = 0  # the number before an outage
        self._era = 0
        # Before the first halving since somebody was answered: perhaps the server is just away.
        self._before: _Learnt | None = None
        self._doubts = 0.0
        self._changed_at = now
        self._open: dict[RequestToken, None] = {}  # requests without an answer so far, oldest first

    def asked(self, now: float) -> RequestToken:
        """A request begins. The mark is given back with what becomes of it, and at the end."""
        mark = RequestToken(now, self._era, self.size)
        self._open[mark] = None
        return mark

    def answered(self, mark: RequestToken, now: float) -> bool:
        """Answered. True if more connections may be at work from now on."""
        self.forget(mark)
        self._doubts = max(0.0, self._doubts - _ANSWER_DISPELS)
        if mark.era == self._era:
            self._before = None
        return self.flowing(now)

    def flowing(self, now: float) -> bool:
        """Bytes arrive. True if more connections may be at work from now on."""
        oldest = next(iter(self._open), None)
        if self.size == self._most or now - self._changed_at < STEP_SECONDS:
            return False
        if oldest is not None and now - oldest.at >= STEP_SECONDS:
            return False  # perhaps this one was one too many
        if self.size < self._regain:
            self.size = min(2 * self.size, self._regain)
            self._changed_at = now
            return True
        if self.size == self._limit:
            if now - self._changed_at < self._patience:
                return False
            self._limit += 1
        self.size += 1
        self._changed_at = now
        return True

    def broken(self, mark: RequestToken, now: float) -> bool:
        """A connection broke or fell silent. True if fewer may be at work from now on."""
        if mark.era != self._era:
            return False
        # Who has been answered has been let in: its end is more likely the line's doing.
        self._doubts += 1.0 if mark in self._open else 0.5
        return self._doubts >= _TROUBLE and self.trouble(mark, now)

    def trouble(self, mark: RequestToken, now: float, *, by_us: bool = False) -> bool:
        """No connection could be made, or the server asks for less. True if fewer may be at work
        from now on: however many requests meet one trouble, it counts once.

        ``by_us``: the server has said that it is we who ask too much.
        """
        if self._fixed or mark.era != self._era:
            return False
        self._era += 1
        self._doubts = 0.0
        if self._before is None:
            self._before = self._learnt()
            self._limit = max(1, mark.size - 1)
            if mark.at - self._changed_at < self._patience:  # a try that has failed
                self._patience = min(LONGEST_PATIENCE, 2 * self._patience)
            else:
                self._patience = FIRST_PATIENCE
        if by_us:
            self._before = None
        self._regain = 0
        self.size = max(1, mark.size // 2)
        self._changed_at = now
        return True

    def away(self) -> None:
        """The server is away: what its going has taken says nothing of the number."""
        learnt = self._before or self._learnt()
        self._before = None
        self._regain, self._limit, self._patience = learnt.size, learnt.limit, learnt.patience
        self.lapse()

    def back(self, now: float) -> None:
        """The server is back: half of the number at once, the rest soon."""
        self.away()
        if not self._fixed:
            self.size = max(1, self._regain // 2)
            self._changed_at = now

    def lapse(self) -> None:
        """What has been asked so far says nothing, whatever becomes of it: the machine slept, or
        the line was dead."""
        self._era += 1
        self._doubts = 0.0
        self._open.clear()

    def forget(self, mark: RequestToken) -> None:
        """The request is over, however it ended."""
        self._open.pop(mark, None)

    def _learnt(self) -> _Learnt:
        return _Learnt(max(self.size, self._regain), self._limit, self._patience)
