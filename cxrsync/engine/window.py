"""How many connections may be at work (``--connections auto``), purely: the caller has the clock.

One more after a quiet while, half after trouble, as TCP does with its packets (additive increase,
multiplicative decrease), with two differences. The number that brought trouble is remembered: up to
there the climb back is quick, and to try it again takes ever longer, since each try costs somebody
a refusal. And one broken connection is the line's doing and no trouble; several of them are.
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
class Mark:
    """A request's beginning: when it was, how often the number had been halved, how large it was.

    What becomes of it must not be blamed on what has changed since: a connect that times out has
    begun half a minute ago.
    """

    at: float
    halvings: int
    size: int


class Window:
    """``size``: how many connections may be at work now, from ``first`` up to ``most`` of them.

    Where these two are equal it stays so, whatever happens. ``now``: seconds of any one clock.
    """

    def __init__(self, first: int, most: int, now: float) -> None:
        self.size = first
        self._most = most
        self._fixed = first == most
        self._limit = most  # what is above it has brought trouble
        self._patience = FIRST_PATIENCE
        self._halvings = 0
        self._doubts = 0.0
        self._changed_at = now
        self._open: dict[Mark, None] = {}  # requests without an answer so far, oldest first

    def asked(self, now: float) -> Mark:
        """A request begins. The mark is given back with what becomes of it, and at the end."""
        mark = Mark(now, self._halvings, self.size)
        self._open[mark] = None
        return mark

    def answered(self, mark: Mark, now: float) -> bool:
        """Answered. True if one connection more may be at work from now on."""
        self.forget(mark)
        self._doubts = max(0.0, self._doubts - _ANSWER_DISPELS)
        return self.flowing(now)

    def flowing(self, now: float) -> bool:
        """Bytes arrive. True if one connection more may be at work from now on."""
        oldest = next(iter(self._open), None)
        if self.size == self._most or now - self._changed_at < STEP_SECONDS:
            return False
        if oldest is not None and now - oldest.at >= STEP_SECONDS:
            return False  # perhaps this one was one too many
        if self.size == self._limit:
            if now - self._changed_at < self._patience:
                return False
            self._limit += 1
        self.size += 1
        self._changed_at = now
        return True

    def broken(self, mark: Mark, now: float) -> bool:
        """A connection broke or fell silent. True if fewer may be at work from now on."""
        # Who has been answered has been let in: its end is more likely the line's doing.
        self._doubts += 1.0 if mark in self._open else 0.5
        return self._doubts >= _TROUBLE and self.trouble(mark, now)

    def trouble(self, mark: Mark, now: float) -> bool:
        """No connection could be made, or the server asks for less. True if fewer may be at work
        from now on: however many requests meet one trouble, it counts once."""
        if self._fixed or mark.halvings != self._halvings:
            return False
        self._halvings += 1
        self._doubts = 0.0
        self._limit = max(1, mark.size - 1)
        if mark.at - self._changed_at < self._patience:  # a try that has failed
            self._patience = min(LONGEST_PATIENCE, 2 * self._patience)
        else:
            self._patience = FIRST_PATIENCE
        self.size = max(1, mark.size // 2)
        self._changed_at = now
        return True

    def forget(self, mark: Mark) -> None:
        """The request is over, however it ended."""
        self._open.pop(mark, None)
