"""Runs and times in the words of the HTML report."""

from __future__ import annotations

from datetime import UTC, datetime

from cxrsync.errors import ExitCode
from cxrsync.report_data import RunData

_STOPPED = {ExitCode.LIMIT, ExitCode.INTERRUPTED, ExitCode.TERMINATED, ExitCode.LOCKED}


def class_of(run: RunData) -> str:
    """``complete``, ``limited`` (stopped, and nothing is wrong) or ``failed``."""
    if run.exit_code == ExitCode.COMPLETE:
        return "complete"
    return "limited" if run.exit_code in _STOPPED else "failed"


def words_of(class_: str) -> str:
    """What a class of runs is called."""
    return {"complete": "complete", "limited": "stopped early", "failed": "failed"}[class_]


_RESULTS = {
    ExitCode.COMPLETE: "complete and verified",
    ExitCode.UNEXPECTED: "unexpected error",
    ExitCode.USAGE: "the options cannot be used",
    ExitCode.CREDENTIALS: "sign-in refused",
    ExitCode.ACCESS: "access denied",
    ExitCode.FILES_FAILED: "some files failed",
    ExitCode.CONTRADICTED: "some files do not match their published digest",
    ExitCode.DISK: "the disk cannot be written",
    ExitCode.LOCKED: "another run was at work",
    ExitCode.LIMIT: "stopped at a limit",
    ExitCode.UNREACHABLE: "server unreachable",
    ExitCode.REFUSED: "refused for safety",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.TERMINATED: "terminated",
}


def result_of(run: RunData) -> str:
    """How a run ended, in words, with its exit code where it was not complete."""
    known = {int(code): words for code, words in _RESULTS.items()}
    words = known.get(run.exit_code, "unexpected error")
    return words if run.exit_code == ExitCode.COMPLETE else f"{words} ({run.exit_code})"


def when(seconds: float) -> str:
    """``26 Nov 2026, 04:28 UTC``"""
    found = datetime.fromtimestamp(seconds, UTC)
    return f"{found.day} {found:%b %Y, %H:%M} UTC"


def moment(seconds: float, now: float) -> str:
    """``26 Nov, 04:28``, and the year where it is not the last one of its name before ``now``."""
    found = datetime.fromtimestamp(seconds, UTC)
    year = "" if 0 <= now - seconds < 300 * 86_400 else f" {found:%Y}"
    return f"{found.day} {found:%b}{year}, {found:%H:%M}"


def day(seconds: float) -> str:
    """``26 Nov``"""
    found = datetime.fromtimestamp(seconds, UTC)
    return f"{found.day} {found:%b}"
