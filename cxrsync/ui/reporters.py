"""The reporters of a command, which get each of its events: bar, log lines, JSON, summary."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from cxrsync.events import Event, Finished
from cxrsync.ui.bar import BarReporter
from cxrsync.ui.console import Output, to_stderr
from cxrsync.ui.json_lines import JsonReporter
from cxrsync.ui.log_lines import LineReporter, TreeReporter
from cxrsync.ui.summary_text import as_text


class Reporter(Protocol):
    """Gets every event of a run, in the event loop's thread."""

    def listen(self, event: Event) -> None: ...

    def close(self) -> None: ...


class SummaryReporter:
    """Writes the summary of a run, for people."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def listen(self, event: Event) -> None:
        if isinstance(event, Finished) and (text := as_text(event.summary)):
            for line in text.split("\n"):
                self._write(line)

    def close(self) -> None:
        """Do nothing: no resource is open."""


class Reporters:
    """All reporters of one command.

    A reporter whose output can no longer be written is dropped: that nobody reads it is no reason
    to stop the run, or to miss a signal.
    """

    def __init__(self, verbosity: int, *, json_to: Output | None, progress: str) -> None:
        """Make the reporters for ``--progress`` and ``--json``.

        ``verbosity``: -1 quiet, 0 normal, 1 verbose. ``json_to``: the output of ``--json``, or
        None. ``progress``: auto, bar, log or none; or tree, for a command that prints a list.
        """
        self._reporters: list[Reporter] = [] if json_to is None else [JsonReporter(json_to)]
        if verbosity < 0:
            return
        if progress == "auto":
            progress = "bar" if sys.stderr.isatty() else "log"
        if progress == "bar":
            self._reporters.append(BarReporter(sys.stderr, verbose=verbosity > 0))
        elif progress == "log":
            self._reporters.append(LineReporter(to_stderr, verbose=verbosity > 0))
        elif progress == "tree":
            self._reporters.append(TreeReporter(to_stderr))
        self._reporters.append(SummaryReporter(to_stderr))

    def add(self, reporter: Reporter) -> None:
        """Add a reporter, such as one that writes to a file."""
        self._reporters.append(reporter)

    def tell(self, event: Event) -> None:
        """Pass the event to every reporter."""
        self._each(lambda reporter: reporter.listen(event))

    def say_summary(self, fields: dict[str, object], lines: Sequence[str]) -> None:
        """Write the summary of a command other than pull: fields for programs, lines for people."""

        def write(reporter: Reporter) -> None:
            if isinstance(reporter, JsonReporter):
                reporter.say_summary(fields)
            elif isinstance(reporter, SummaryReporter):
                for line in lines:
                    to_stderr(line)

        self._each(write)

    def close(self) -> None:
        """Close every reporter, such as the bar."""
        self._each(lambda reporter: reporter.close())

    def _each(self, act: Callable[[Reporter], None]) -> None:
        for reporter in list(self._reporters):
            try:
                act(reporter)
            except OSError:
                self._reporters.remove(reporter)
