"""What a run has done so far, added up from its events; and whether the books balance.

Every selected file is there already or gets exactly one outcome. An imbalance is our own fault,
and worse than any failure that is told: a file that nobody speaks of may be missing, or wrong,
in a tree that is called complete.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from time import monotonic

from cxrsync.events import (
    Event,
    FileDone,
    LimitReached,
    Planned,
    Received,
    RunSummary,
    Started,
    Totals,
    Unaccounted,
)
from cxrsync.model import Outcome, Result

MAX_NAMED = 10
# Small enough that one is searched at once, though they are not sorted.
_BUCKETS = 4096


@dataclass(frozen=True, slots=True)
class Imbalance:
    """What does not add up. ``missing``: files without an outcome; ``surplus``: outcomes of files
    that were not to get one, or had one. The paths are the first of them that are known."""

    selected: int
    missing: int
    missing_paths: tuple[str, ...]
    surplus: int
    surplus_paths: tuple[str, ...]

    def __str__(self) -> str:
        parts = []
        if self.missing:
            named = _named(self.missing, self.missing_paths)
            parts.append(f"{self.missing:,} of {self.selected:,} selected files have none{named}")
        if self.surplus:
            named = _named(self.surplus, self.surplus_paths)
            parts.append(f"{self.surplus:,} are told of files that were due none{named}")
        return f"the outcomes do not match what was selected: {', and '.join(parts)}"


def _named(count: int, paths: tuple[str, ...]) -> str:
    if not paths:
        return ""
    shown = ", ".join(paths[:MAX_NAMED])
    return f" ({shown}{', …' if count > min(len(paths), MAX_NAMED) else ''})"


class Books:
    """An account for each plan, and what was told of its files since."""

    def __init__(self) -> None:
        self._accounts: list[Account] = []
        self._selected = 0
        self._unplanned = 0
        self._surplus = 0
        self._missing_paths: list[str] = []
        self._surplus_paths: list[str] = []

    def open(self, plan: Planned) -> None:
        """From now on these files are due."""
        self._accounts.append(Account(plan.prefix, plan.due))
        self._selected += plan.selected
        left = plan.selected - plan.present - len(plan.due)
        self._unplanned += max(0, left)
        self._surplus += max(0, -left)

    def settle(self, path: str) -> None:
        """A file got an outcome."""
        # The newest first: of a path that several plans name, the others have their outcome.
        if not any(account.settle(path) for account in reversed(self._accounts)):
            self._surplus += 1
            if len(self._surplus_paths) < MAX_NAMED:
                self._surplus_paths.append(path)

    def unsettled(self) -> frozenset[int]:
        """The hashes of the paths that the newest plan names and that have no outcome."""
        return self._accounts[-1].unsettled() if self._accounts else frozenset()

    def name(self, paths: Iterable[str]) -> None:
        """Some of the files that have no outcome, by name."""
        self._missing_paths += paths

    def imbalance(self, *, complete: bool) -> Imbalance | None:
        """What does not add up. Not ``complete``: the run stopped before its end, so that files
        without an outcome are no fault."""
        open_files = sum(account.open for account in self._accounts) if complete else 0
        missing = self._unplanned + open_files
        if not missing and not self._surplus:
            return None
        return Imbalance(
            self._selected,
            missing,
            tuple(self._missing_paths),
            self._surplus,
            tuple(self._surplus_paths),
        )


class Account:
    """The files of one plan that are due an outcome and have none. Eight bytes a file, whatever its
    path: of a whole version there are 621,000."""

    def __init__(self, prefix: str, due: Iterable[int]) -> None:
        """``due``: a hash of each path; ``prefix``: what outcomes have in front of the path."""
        self._prefix = prefix
        self._due: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))
        self.open = 0
        for key in due:
            self._due[key % _BUCKETS].append(key)
            self.open += 1

    def settle(self, path: str) -> bool:
        """Whether the file was due an outcome and had none."""
        if not path.startswith(self._prefix):
            return False
        key = hash(path[len(self._prefix) :])
        try:
            self._due[key % _BUCKETS].remove(key)
        except ValueError:
            return False
        self.open -= 1
        return True

    def unsettled(self) -> frozenset[int]:
        """The hashes of the paths without an outcome."""
        return frozenset(key for bucket in self._due.values() for key in bucket)


_MAX_PROBLEMS_KEPT = 1000
_PROBLEMS = {Result.FAILED, Result.CONTRADICTED, Result.ACKNOWLEDGED}


class RunStats:
    """Listens to events and answers with a Summary at any time."""

    def __init__(self) -> None:
        self.began = monotonic()
        self.started: Started | None = None
        self.selected = 0
        self._blocked = 0
        self.present = Totals()
        self.received = 0
        self.resumed = Totals()
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

    def record(self, event: Event) -> None:
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
        if outcome.result in _PROBLEMS and len(self.problems) < _MAX_PROBLEMS_KEPT:
            self.problems.append(outcome)

    def summary(self, *, requests: int, exit_code: int, error: str = "") -> RunSummary:
        """Everything so far."""
        started = self.started or Started("", "", "", "", 0)
        arrived = (Result.FETCHED, Result.COPIED, Result.ADOPTED)
        return RunSummary(
            dataset=started.dataset,
            version=started.version,
            root=started.root,
            selection=started.selection,
            selected=Totals(
                self.selected, self.present.bytes + sum(self.bytes[result] for result in arrived)
            ),
            present=self.present,
            fetched=Totals(
                self.files[Result.FETCHED] + self.files[Result.COPIED], max(0, self.received)
            ),
            copied=Totals(self.files[Result.COPIED], self.bytes[Result.COPIED]),
            resumed=self.resumed,
            adopted=Totals(self.files[Result.ADOPTED], self.bytes[Result.ADOPTED]),
            failed=Totals(self.files[Result.FAILED] + self.refused_lines),
            mismatched=Totals(self.files[Result.CONTRADICTED], self.bytes[Result.CONTRADICTED]),
            acknowledged=Totals(self.files[Result.ACKNOWLEDGED], self.bytes[Result.ACKNOWLEDGED]),
            requests=requests,
            seconds=round(monotonic() - self.began, 3),
            exit_code=exit_code,
            problems=tuple(self.problems),
            refused=tuple(each for plan in self._refused.values() for each in plan.refused),
            error=error,
            limited=self.limited,
        )


def _plus(amount: Totals, files: int, size: int) -> Totals:
    return Totals(amount.files + files, amount.bytes + size)
