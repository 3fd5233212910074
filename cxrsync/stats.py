"""The counts of a run, from its events, and the check that every selected file has one outcome.

Every selected file is present, or replaced by a smaller copy, or gets exactly one outcome. A file
without an outcome is a bug of cxrsync, and worse than a reported failure: the file may be missing
or wrong in a tree that is called complete.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from time import monotonic

from cxrsync.byte_samples import ByteSamples
from cxrsync.events import (
    Deleted,
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
from cxrsync.progress_events import Activity, Phase, Sized

MAX_NAMED = 10
# So many that each is small: a bucket is not sorted, and is searched from its beginning.
_BUCKETS = 4096


@dataclass(frozen=True, slots=True)
class Imbalance:
    """The difference between the selected files and the outcomes.

    ``missing``: files without an outcome. ``surplus``: outcomes of files that were due none, or
    already had one. The paths are the first of them that are known.
    """

    selected: int
    missing: int
    missing_paths: tuple[str, ...]
    surplus: int
    surplus_paths: tuple[str, ...]

    def __str__(self) -> str:
        parts = []
        if self.missing:
            named = _named(self.missing, self.missing_paths)
            parts.append(
                f"{self.missing:,} of {self.selected:,} selected files have no outcome{named}"
            )
        if self.surplus:
            named = _named(self.surplus, self.surplus_paths)
            parts.append(f"{self.surplus:,} outcomes are of files that were due none{named}")
        return f"the outcomes do not match what was selected: {', and '.join(parts)}"


def _named(count: int, paths: tuple[str, ...]) -> str:
    if not paths:
        return ""
    shown = ", ".join(paths[:MAX_NAMED])
    return f" ({shown}{', …' if count > min(len(paths), MAX_NAMED) else ''})"


class Books:
    """The check of outcomes against plans: one account per plan."""

    def __init__(self) -> None:
        self._accounts: list[Account] = []
        self._selected = 0
        self._unplanned = 0
        self._surplus = 0
        self._missing_paths: list[str] = []
        self._surplus_paths: list[str] = []

    def open(self, plan: Planned) -> None:
        """Note that each file of ``plan`` that is not present is due one outcome."""
        self._accounts.append(Account(plan.prefix, plan.due))
        self._selected += plan.selected
        left = plan.selected - plan.present - plan.derived - len(plan.due)
        self._unplanned += max(0, left)
        self._surplus += max(0, -left)

    def settle(self, path: str) -> None:
        """Note that the file at ``path`` got an outcome."""
        # The newest plan first: if several plans name a path, the older ones have its outcome.
        if not any(account.settle(path) for account in reversed(self._accounts)):
            self._surplus += 1
            if len(self._surplus_paths) < MAX_NAMED:
                self._surplus_paths.append(path)

    def unsettled(self) -> frozenset[int]:
        """The hashes of the paths of the newest plan that have no outcome."""
        return self._accounts[-1].unsettled() if self._accounts else frozenset()

    def name(self, paths: Iterable[str]) -> None:
        """Note the names of some files without an outcome."""
        self._missing_paths += paths

    def imbalance(self, *, complete: bool) -> Imbalance | None:
        """The imbalance, or None.

        ``complete``: the run reached its end. If it did not, files without an outcome are no bug.
        """
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
    """The files of one plan that are due an outcome and have none.

    Eight bytes per file, whatever its path, because a whole version has 621,000 files.
    """

    def __init__(self, prefix: str, due: Iterable[int]) -> None:
        """``due``: a hash of each path; ``prefix``: what outcomes have before the path."""
        self._prefix = prefix
        self._due: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))
        self.open = 0
        for key in due:
            self._due[key % _BUCKETS].append(key)
            self.open += 1

    def settle(self, path: str) -> bool:
        """Note an outcome. Returns whether the file was due one and had none."""
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


class Preparation:
    """What a run does before it knows which files are due, for whoever looks at its tree then."""

    def __init__(self) -> None:
        self._activity = Activity.STARTING
        self._is_over = False
        self._manifest_done = 0
        self._manifest_all: int | None = None

    def record(self, event: Event) -> None:
        """Note a phase, and the bytes of the manifest."""
        if isinstance(event, Phase):
            self._activity = event.activity
            # Manifest and tables are there.
            self._is_over = self._is_over or event.activity is Activity.SELECTING
        elif isinstance(event, Sized) and event.is_manifest:
            self._manifest_done, self._manifest_all = event.have, event.total
        elif isinstance(event, Received) and event.is_manifest:
            self._manifest_done += event.count

    def as_json(self) -> dict[str, object]:
        """Return it under the keys of the progress file, some of which JSON lines have, too."""
        return {
            "phase": self._activity.value,
            "preparing": not self._is_over,
            "manifest_bytes": self._manifest_done,
            "manifest_bytes_total": self._manifest_all,
        }


class RunStats:
    """Counts a run's events; :meth:`summary` returns the counts at any time."""

    def __init__(self) -> None:
        self.began = monotonic()
        self.started: Started | None = None
        self.reports_root = ""
        self.selected = 0
        self.present = Totals()
        self.received = 0
        self.samples = ByteSamples()
        self.resumed = Totals()
        self.deleted = Totals()
        # Replaced before this run; the bytes are those of the originals, and of the copies.
        self.replaced = Totals()
        self.copy_bytes = 0
        self.files: Counter[Result] = Counter()
        self.bytes: Counter[Result] = Counter()
        self.sources: dict[str, Totals] = {}
        self.problems: list[Outcome] = []
        self.limited = False
        self.books = Books()
        self.preparation = Preparation()
        # By dataset: each plan names the rejected lines of the whole manifest.
        self._refused: dict[str, Planned] = {}
        self.open_to_others = 0

    @property
    def refused_lines(self) -> int:
        """How many manifest lines were rejected: as many files are missing."""
        return sum(plan.refused_lines for plan in self._refused.values())

    def record(self, event: Event) -> None:
        """Count an event."""
        self.preparation.record(event)
        if isinstance(event, Received):
            self.received += event.count
            self.samples.add(monotonic() - self.began, self.received)
        elif isinstance(event, FileDone):
            self._add(event.outcome)
            self.books.settle(event.outcome.path)
        elif isinstance(event, Planned):
            self.selected += event.selected
            self.present = _plus(self.present, event.present, event.present_bytes)
            self.replaced = _plus(self.replaced, event.derived, event.derived_bytes)
            self.copy_bytes += event.copy_bytes
            self.books.open(event)
            known = self._refused.get(event.prefix)
            if known is None or known.refused_lines < event.refused_lines:
                self._refused[event.prefix] = replace(event, due=())
        elif isinstance(event, Deleted):
            self.deleted = _plus(self.deleted, event.files, event.bytes)
        elif isinstance(event, Started):
            self.started = event
        elif isinstance(event, LimitReached):
            self.limited = True
        elif isinstance(event, Unaccounted):
            self.books.name(event.paths)

    def _add(self, outcome: Outcome) -> None:
        self.files[outcome.result] += 1
        self.bytes[outcome.result] += outcome.size
        self.copy_bytes += outcome.copy_size
        self.open_to_others += outcome.open_to_others
        if outcome.source:
            so_far = self.sources.get(outcome.source, Totals())
            self.sources[outcome.source] = _plus(so_far, 1, outcome.size)
        if outcome.resumed:
            self.resumed = _plus(self.resumed, 1, outcome.resumed)
        if outcome.result in _PROBLEMS and len(self.problems) < _MAX_PROBLEMS_KEPT:
            self.problems.append(outcome)

    def summary(self, *, requests: int, exit_code: int, error: str = "") -> RunSummary:
        """The counts so far, as the summary of the run."""
        started = self.started or Started("", "", "", "", 0)
        verified = (Result.FETCHED, Result.COPIED, Result.ADOPTED, Result.DERIVED)
        known = self.present.bytes + self.replaced.bytes
        return RunSummary(
            dataset=started.dataset,
            version=started.version,
            root=started.root,
            selection=started.selection,
            selected=Totals(self.selected, known + sum(self.bytes[result] for result in verified)),
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
            deleted=self.deleted,
            samples=self.samples.samples(),
            sources=tuple(self.sources.items()) if len(self.sources) > 1 else (),
            reports_root=self.reports_root,
            derived=Totals(self.replaced.files + self.files[Result.DERIVED], self.copy_bytes),
        )


def _plus(amount: Totals, files: int, size: int) -> Totals:
    return Totals(amount.files + files, amount.bytes + size)
