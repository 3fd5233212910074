"""The reporters of a command, which get each of its events: bar, log lines, JSON, summary."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
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
            self.say(text.split("\n"))
            if self._hints and (hint := next_command(event.summary)):
                self._write(hint)

    def say(self, lines: Iterable[str]) -> None:
        """Write the summary of a command that has no such event."""
        for line in lines:
            self._write(line)

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
        json_to: Output | None = None,
        progress: str = "tree",
        every: float = PROGRESS_SECONDS,
        label: str = "",
    ) -> None:
        """Make the reporters for ``--progress`` and ``--json``.

        ``verbosity``: -1 quiet, 0 normal, 1 verbose. ``json_to``: the output of ``--json``, or
        None. ``progress``: auto, bar, log or none; or tree, for a command that prints a list: as
        auto, with few lines beside it. ``every``: the seconds between two lines of progress in a
        log. ``label``: what the bar is of, where that is not obvious.
        """
        # The ticker's thread and the command's own take turns. A signal may interrupt the latter.
        self._lock = threading.RLock()
        self._ticker = Ticker(self.tick)
        self._reporters: list[Reporter] = [] if json_to is None else [JsonReporter(json_to)]
        self._bar: BarReporter | None = None
        if verbosity < 0:
            return
        verbose, is_list = verbosity > 0, progress == "tree"

        def lines(write: Callable[[str], None]) -> Reporter:
            return TreeReporter(write) if is_list else LineReporter(write, verbose=verbose)

        is_terminal = sys.stderr.isatty()
        if progress == "auto" or is_list:
            progress = "bar" if is_terminal else "log"
        is_dumb = is_terminal and os.environ.get("TERM") == "dumb"
        if progress == "bar" and not is_dumb:
            self._bar = BarReporter(sys.stderr, lines, verbose=verbose, label=label)
            self._reporters.append(self._bar)
        elif progress in {"bar", "log"}:
            shown = ProgressLines(to_stderr, every, verbose=verbose, each_phase=is_dumb)
            self._reporters += [lines(to_stderr), shown]
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
                reporter.say(lines)

        self._each(write)

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Let the block write to the terminal: meanwhile nothing else is written there."""
        with self._lock:
            self.hide()
            yield

    def hide(self) -> None:
        """Remove the bar until the next event or tick."""
        with self._lock, suppress(OSError):
            if self._bar is not None:
                self._bar.hide()

    def close(self) -> None:
        """Close every reporter, such as the bar. What is told later is still written."""
        self._ticker.stop()
        self._each(lambda reporter: reporter.close())

    def tick(self) -> None:
        """Let every reporter show what has changed with time."""
        self._each(lambda reporter: reporter.tick())

    def _each(self, act: Callable[[Reporter], None]) -> None:
        with self._lock:
            for reporter in list(self._reporters):
                try:
                    act(reporter)
                except OSError:
                    self._reporters.remove(reporter)
