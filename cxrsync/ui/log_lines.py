"""Log lines: what the user should know as it happens, and the progress from time to time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from time import monotonic

from cxrsync import humanize
from cxrsync.clock import time_stamp
from cxrsync.events import (
    Checked,
    ConcurrencyChanged,
    Event,
    FileDone,
    Finding,
    Finished,
    LeftOut,
    Notice,
    Planned,
    Retrying,
    SigningIn,
    Started,
    TreeNotice,
    Waiting,
)
from cxrsync.model import Outcome
from cxrsync.progress_events import Phase
from cxrsync.ui.progress import ALL_WAIT, Progress, is_problem
from cxrsync.ui.progress_text import log_line

PROGRESS_SECONDS = 30.0
_MAX_NAMED = 20
_MOMENT = 1.0
_NAMED = frozenset(Finding) - {Finding.GOOD}


class LineReporter:
    """Writes log lines."""

    def __init__(self, write: Callable[[str], None], *, verbose: bool) -> None:
        self._write = write
        self._verbose = verbose
        self._faults: Counter[Finding] = Counter()

    def listen(self, event: Event) -> None:
        for line in _planned(event) if isinstance(event, Planned) else [self._line(event)]:
            if line is not None:
                self._write(line)

    def tick(self) -> None:
        """Do nothing: every line follows an event."""

    def close(self) -> None:
        """Do nothing: no resource is open."""

    def _line(self, event: Event) -> str | None:
        if isinstance(event, Started):
            return f"{event.dataset} {event.version} ({event.selection}) → {event.root}"
        if isinstance(event, Notice):
            return f"note: {event.text}"
        if isinstance(event, FileDone):
            return _file(event.outcome, verbose=self._verbose)
        if isinstance(event, Checked) and (self._verbose or event.finding in _NAMED):
            return self._fault(event)
        if isinstance(event, Retrying | Waiting):
            return _waiting(event, verbose=self._verbose)
        if isinstance(event, SigningIn) and self._verbose:
            return f"signing in as {event.user}, with the password from {event.found_in}"
        if isinstance(event, ConcurrencyChanged) and self._verbose:
            return f"using {event.count} connections from now on"
        return None

    def _fault(self, event: Checked) -> str | None:
        """A line for each fault, up to as many as a person reads."""
        self._faults[event.finding] += 1
        if self._verbose or self._faults[event.finding] <= _MAX_NAMED:
            why = f": {event.reason}" if event.reason else ""
            return f"{event.finding.value}: {event.path}{why}"
        if self._faults[event.finding] == _MAX_NAMED + 1:
            return f"{event.finding.value}: and more (cxrsync -v shows all)"
        return None


def _planned(event: Planned) -> list[str]:
    text = f"{humanize.files(event.selected)} selected: {event.present:,} verified"
    if event.to_hash:
        text += f", {event.to_hash:,} to verify"
    text += f", {event.to_fetch:,} to fetch"
    if event.reusable:
        text += f" ({event.reusable:,} of them from an older version on this disk)"
    if event.to_copy:
        text += f", {event.to_copy:,} to be copied smaller"
    if event.derived:
        text += f", {event.derived:,} here as smaller copies"
    if event.blocked:
        text += f", {event.blocked:,} whose final name cannot be used"
    if event.to_hash and event.to_hash == event.selected:  # a verification, or a tree of others
        text = f"{humanize.files(event.to_hash)} to verify"
    lines = [text]
    lines += [f"rejected: manifest line {each.line}: {each.reason}" for each in event.refused[:10]]
    if event.refused_lines > 10:
        lines.append(f"rejected: {event.refused_lines - 10:,} more manifest lines")
    return lines


def _file(outcome: Outcome, *, verbose: bool) -> str | None:
    if is_problem(outcome):
        return f"{outcome.result.value}: {outcome.path}: {outcome.reason}"
    return f"{outcome.result.value}: {outcome.path}" if verbose else None


def _waiting(event: Retrying | Waiting, *, verbose: bool) -> str | None:
    if isinstance(event, Waiting):
        return f"waiting up to {humanize.duration(event.at_most)}: {event.what}"
    if not verbose and event.path not in ALL_WAIT:
        return None
    what = event.path or "the server"
    return f"waiting {humanize.duration(event.after)} for {what}: {event.reason}"


class ProgressLines:
    """Writes a line of progress every so many seconds, with the local time if ``stamped``.

    ``each_phase``: also a line for each phase that lasts longer than a moment, for a person at a
    terminal that cannot draw a bar. Nothing is written while transfers are suspended: a pause may
    last the whole day.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        every: float = PROGRESS_SECONDS,
        *,
        verbose: bool = False,
        stamped: bool = True,
        each_phase: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._write = write
        self._every = every
        self._verbose = verbose
        self._stamped = stamped
        self._clock = clock
        self._progress = Progress(clock)
        self._written_at = clock()
        self._each_phase = each_phase
        self._has_shown_phase = False
        self._is_over = self._is_closed = False

    def listen(self, event: Event) -> None:
        self._progress.listen(event)
        if isinstance(event, Finished | Started):
            self._is_over = isinstance(event, Finished)
        if isinstance(event, Phase):
            self._has_shown_phase = False
        self.tick()

    def tick(self) -> None:
        if self._is_closed or self._is_over or not self._is_due():
            return
        self._written_at = self._clock()
        if not self._progress.is_suspended:
            self._has_shown_phase = True
            stamp = f"{time_stamp()} " if self._stamped else ""
            self._write(stamp + log_line(self._progress.values(), verbose=self._verbose))

    def close(self) -> None:
        self._is_closed = True

    def _is_due(self) -> bool:
        if self._clock() - self._written_at >= self._every:
            return True
        if not self._each_phase or self._has_shown_phase:
            return False
        return self._progress.values().elapsed >= _MOMENT


class TreeReporter:
    """Shows which tree is used, what is left out and what is waited for: for a command whose output
    is a list."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def listen(self, event: Event) -> None:
        if isinstance(event, TreeNotice | LeftOut):
            self._write(f"note: {event.text}")
        elif isinstance(event, Retrying | Waiting):
            line = _waiting(event, verbose=False)
            if line is not None:
                self._write(line)

    def tick(self) -> None:
        """Do nothing: every line follows an event."""

    def close(self) -> None:
        """Do nothing: no resource is open."""
