"""A list of checks, each with its mark: what ``cxrsync access`` shows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cxrsync.errors import ExitCode, worst_of


class Mark(Enum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``found``: what was found. ``step``: what to do, if anything; ``page``: the page
    to go to first. ``code``: the exit code, if the mark is MISSING. ``about``: what else is known,
    in one line."""

    name: str
    mark: Mark
    found: str
    step: str = ""
    page: str = ""
    code: ExitCode = ExitCode.COMPLETE
    about: str = ""


@dataclass(frozen=True, slots=True)
class Checklist:
    """All checks, in the order in which they were made."""

    checks: tuple[Check, ...]

    @property
    def first_missing(self) -> Check | None:
        """The first thing that is missing; None if nothing is."""
        return next((each for each in self.checks if each.mark is Mark.MISSING), None)

    @property
    def code(self) -> ExitCode:
        """The exit code of all checks together."""
        return worst_of(each.code for each in self.checks)
