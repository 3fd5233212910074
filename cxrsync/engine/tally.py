"""What a run has done so far, added up from its events."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from time import monotonic

from cxrsync.engine.books import Books
from cxrsync.model import (
    Amount,
    Event,
    FileDone,
    LimitReached,
    Outcome,
    Planned,
    Received,
    Result,
    Started,
    Summary,
    Unaccounted,
)

_MOST_PROBLEMS_KEPT = 1000
_PROBLEMS = {Result.FAILED, Result.CONTRADICTED, Result.ACKNOWLEDGED}


class Tally:
    """Listens to events and answers with a Summary at any time."""

    def __init__(self) -> None:
        self.began = monotonic()
        self.started: Started | None = None
        self.selected = 0
        self._blocked = 0
        self.present = Amount()
        self.received = 0
        self.resumed = Amount()
        self.files: Counter[Result] = Counter()
        self.bytes: Counter[Result] = Counter()
        self.problems: list[Outcome] = []
        self.limited = False
        self.books = Books()
        # By dataset: each leg tells those of the whole manifest again.
        self._refused: dict[str, Planned] = {}
        self.open_to_others = 0

    @property
    def tried(self) -> int:
        """How many files were fetched, or tried to be."""
        return sum(self.files.values()) - self.files[Result.ADOPTED] - self._blocked

    @property
    def refused_lines(self) -> int:
        """How many manifest lines cannot be followed: as many files that are not here."""
        return sum(plan.refused_lines for plan in self._refused.values())

    def listen(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, Received):
            self.received += event.count
        elif isinstance(event, FileDone):
            self._add(event.outcome)
            self.books.settle(event.outcome.path)
        elif isinstance(event, Planned):
            self.selected += event.selected
            self._blocked += event.blocked
            self.present = _plus(self.present, event.present, event.present_bytes)
            self.books.open(event)
            known = self._refused.get(event.prefix)
            if known is None or known.refused_lines < event.refused_lines:
                self._refused[event.prefix] = replace(event, due=())
        elif isinstance(event, Started):
            self.started = event
        elif isinstance(event, LimitReached):
            self.limited = True
        elif isinstance(event, Unaccounted):
            self.books.name(event.paths)

    def _add(self, outcome: Outcome) -> None:
        self.files[outcome.result] += 1
        self.bytes[outcome.result] += outcome.size
        self.open_to_others += outcome.open_to_others
        if outcome.resumed:
            self.resumed = _plus(self.resumed, 1, outcome.resumed)
        if outcome.result in _PROBLEMS and len(self.problems) < _MOST_PROBLEMS_KEPT:
            self.problems.append(outcome)

    def summary(self, *, requests: int, exit_code: int, error: str = "") -> Summary:
        """Everything so far."""
        started = self.started or Started("", "", "", "", 0)
        arrived = (Result.FETCHED, Result.COPIED, Result.ADOPTED)
        return Summary(
            dataset=started.dataset,
            version=started.version,
            root=started.root,
            selection=started.selection,
            selected=Amount(
                self.selected, self.present.bytes + sum(self.bytes[result] for result in arrived)
            ),
            present=self.present,
            fetched=Amount(
                self.files[Result.FETCHED] + self.files[Result.COPIED], max(0, self.received)
            ),
            copied=Amount(self.files[Result.COPIED], self.bytes[Result.COPIED]),
            resumed=self.resumed,
            adopted=Amount(self.files[Result.ADOPTED], self.bytes[Result.ADOPTED]),
            failed=Amount(self.files[Result.FAILED] + self.refused_lines),
            mismatched=Amount(self.files[Result.CONTRADICTED], self.bytes[Result.CONTRADICTED]),
            acknowledged=Amount(self.files[Result.ACKNOWLEDGED], self.bytes[Result.ACKNOWLEDGED]),
            requests=requests,
            seconds=round(monotonic() - self.began, 3),
            exit_code=exit_code,
            problems=tuple(self.problems),
            refused=tuple(each for plan in self._refused.values() for each in plan.refused),
            error=error,
            limited=self.limited,
        )


def _plus(amount: Amount, files: int, size: int) -> Amount:
    return Amount(amount.files + files, amount.bytes + size)
