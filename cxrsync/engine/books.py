"""The books of a run: every selected file is there already or gets exactly one outcome.

An imbalance is our own fault, and worse than any failure that is told: a file that nobody speaks of
may be missing, or wrong, in a tree that is called complete.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from cxrsync.model import Planned

MOST_NAMED = 10


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
    shown = ", ".join(paths[:MOST_NAMED])
    return f" ({shown}{', …' if count > min(len(paths), MOST_NAMED) else ''})"


class Books:
    """An account for each plan, and the outcomes that were told since."""

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
            if len(self._surplus_paths) < MOST_NAMED:
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
    """The files of one plan that are due an outcome. Nine bytes a file, whatever its path: of a
    whole version there are 621,000."""

    def __init__(self, prefix: str, due: Iterable[int]) -> None:
        """``due``: a hash of each path; ``prefix``: what outcomes have in front of the path."""
        self._prefix = prefix
        self._due = array("q", sorted(due))
        self._settled = bytearray(len(self._due))
        self.open = len(self._due)

    def settle(self, path: str) -> bool:
        """Whether the file was due an outcome and had none."""
        if not path.startswith(self._prefix):
            return False
        key = hash(path[len(self._prefix) :])
        at = bisect_left(self._due, key)
        while at < len(self._due) and self._due[at] == key:  # two paths may share a hash
            if not self._settled[at]:
                self._settled[at] = True
                self.open -= 1
                return True
            at += 1
        return False

    def unsettled(self) -> frozenset[int]:
        """The hashes of the paths without an outcome."""
        if not self.open:
            return frozenset()
        each = zip(self._due, self._settled, strict=True)
        return frozenset(key for key, settled in each if not settled)
