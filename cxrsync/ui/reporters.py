"""The reporters of a command, which get each of its events: bar, log lines, JSON, summary."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Protocol, Self

from cxrsync.events import Event, Finished
from cxrsync.ui.bar import BarReporter
from cxrsync.ui.console import Output, to_stderr
from cxrsync.ui.json_lines import JsonReporter
from cxrsync.ui.log_lines import (
    PROGRESS_SECONDS,
    LineReporter,
    ProgressLines,
    TreeReporter,
)
from cxrsync.ui.summary_file import SummaryFile
from cxrsync.ui.summary_text import as_text, next_command
from cxrsync.ui.ticker import Ticker


class Reporter(Protocol):
    """Gets every event of a run, and a tick twice a second; never two at once."""

    def listen(self, event: Event) -> None: ...

    def tick(self) -> None: ...

    def close(self) -> None: ...


class SummaryReporter:
    """Writes the summary of a run, for people."""

    def __init__(self, write: Callable[[str], None], *, hints: bool = False) -> None:
        """``hints``: also say what to do next, as to a person who waits for the end."""
        self._write = write
        self._hints = hints

    def listen(self, event: Event) -> None:
        if isinstance(event, Finished) and (text := as_text(event.summary)):
            for line in text.split("\n"):
                self._write(line)
            if self._hints and (hint := next_command(event.summary)):
                self._write(hint)

    def tick(self) -> None:
        """Do nothing: the summary is the last event."""

    def close(self) -> None:
        """Do nothing: no resource is open."""


class Reporters:
    """All reporters of one command.

    A reporter whose output can no longer be written is dropped: that nobody reads it is no reason
    to stop the run, or to miss a signal.
    """

    def __init__(
        self,
        verbosity: int,
        *,
        json_to: Output | None,
        progress: str,
        every: float = PROGRESS_SECONDS,
    ) -> None:
        """Make the reporters for ``--progress`` and ``--json``.

        ``verbosity``: -1 quiet, 0 normal, 1 verbose. ``json_to``: the output of ``--json``, or
        None. ``progress``: auto, bar, log or none; or tree, for a command that prints a list: as
        auto, with few lines beside it. ``every``: the seconds between two lines of progress in a
        log.
        """
        # The ticker's thread and the command's own take turns. A signal may interrupt the latter.
        self._lock = threading.RLock()
        self._ticker = Ticker(self._tick)
        self._reporters: list[Reporter] = [] if json_to is None else [JsonReporter(json_to)]
        if verbosity < 0:
            return
        verbose, is_list = verbosity > 0, progress == "tree"

        def lines(write: Callable[[str], None]) -> Reporter:
            return TreeReporter(write) if is_list else LineReporter(write, verbose=verbose)

        if progress == "auto" or is_list:
            progress = "bar" if sys.stderr.isatty() else "log"
        if progress == "bar":
            self._reporters.append(BarReporter(sys.stderr, lines, verbose=verbose))
        elif progress == "log":
            self._reporters += [lines(to_stderr), ProgressLines(to_stderr, every, verbose=verbose)]
        self._reporters.append(SummaryReporter(to_stderr, hints=True))

    def __enter__(self) -> Self:
        self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, reporter: Reporter) -> None:
        """Add a reporter, such as one that writes to a file."""
        self._reporters.append(reporter)

    def tell(self, event: Event) -> None:
        """Pass the event to every reporter."""
        self._each(lambda reporter: reporter.listen(event))

    def say_summary(self, fields: dict[str, object], lines: Sequence[str]) -> None:
        """Write the summary of a command other than pull: fields for programs, lines for people."""

        def write(reporter: Reporter) -> None:
            if isinstance(reporter, JsonReporter | SummaryFile):
                reporter.say_summary(fields)
            elif isinstance(reporter, SummaryReporter):
                for line in lines:
                    to_stderr(line)

        self._each(write)

    def close(self) -> None:
        """Close every reporter, such as the bar. What is told later is still written."""
        self._ticker.stop()
        self._each(lambda reporter: reporter.close())

    def _tick(self) -> None:
        self._each(lambda reporter: reporter.tick())

    def _each(self, act: Callable[[Reporter], None]) -> None:
        with self._lock:
            for reporter in list(self._reporters):
                try:
                    act(reporter)
                except OSError:
                    self._reporters.remove(reporter)
