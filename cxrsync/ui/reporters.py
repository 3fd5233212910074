"""Everyone who is told of a command's events. They only listen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from cxrsync.events import Event, Finished
from cxrsync.ui.bar import BarReporter
from cxrsync.ui.console import Output, to_stderr
from cxrsync.ui.json_lines import JsonReporter
from cxrsync.ui.lines import LineReporter, TreeReporter
from cxrsync.ui.summary_text import as_text


class Reporter(Protocol):
    """Is told of every event of a run, in the event loop's thread."""

    def listen(self, event: Event) -> None: ...

    def close(self) -> None: ...


class SummaryReporter:
    """The last words of a run, for a person."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def listen(self, event: Event) -> None:
        if isinstance(event, Finished) and (text := as_text(event.summary)):
            for line in text.split("\n"):
                self._write(line)

    def close(self) -> None:
        """Nothing is kept open."""


class Reporters:
    """Everyone who listens to one command. A listener whose reader has gone away is let go: that
    nobody looks is no reason to stop, nor to miss a signal."""

    def __init__(self, verbosity: int, *, json_to: Output | None, progress: str) -> None:
        """For ``--progress`` (auto, bar, log, none; or tree, of a command that prints a list), and
        ``--json``, if there is an output for it.

        ``loudness``: -1 quiet, 0 normal, 1 verbose.
        """
        self._listeners: list[Reporter] = [] if json_to is None else [JsonReporter(json_to)]
        if verbosity < 0:
            return
        if progress == "auto":
            progress = "bar" if sys.stderr.isatty() else "log"
        if progress == "bar":
            self._listeners.append(BarReporter(sys.stderr, verbose=verbosity > 0))
        elif progress == "log":
            self._listeners.append(LineReporter(to_stderr, verbose=verbosity > 0))
        elif progress == "tree":
            self._listeners.append(TreeReporter(to_stderr))
        self._listeners.append(SummaryReporter(to_stderr))

    def tell(self, event: Event) -> None:
        """Tell everyone who still listens."""
        self._each(lambda listener: listener.listen(event))

    def say_summary(self, fields: dict[str, object], lines: Sequence[str]) -> None:
        """The last line of a command that is no pull: for programs, and in words for people."""

        def say(listener: Reporter) -> None:
            if isinstance(listener, JsonReporter):
                listener.say_summary(fields)
            elif isinstance(listener, SummaryReporter):
                for line in lines:
                    to_stderr(line)

        self._each(say)

    def close(self) -> None:
        """Take the bar down."""
        self._each(lambda listener: listener.close())

    def _each(self, act: Callable[[Reporter], None]) -> None:
        for listener in list(self._listeners):
            try:
                act(listener)
            except OSError:
                self._listeners.remove(listener)
