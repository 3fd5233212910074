"""What Python and the libraries would write to stderr by themselves, in words that are ours.

A logger, a thread that falls over, an exception that nobody collects: each shows the text of
exceptions that are not ours, and these can quote what the server sent, the session cookie too.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterable

from cxrsync.sanitize import trace
from cxrsync.ui.console import to_stderr


class _Records(logging.Handler):
    """Of a record: where in which library it comes from; its text is a library's own."""

    def __init__(self, *, traces: bool) -> None:
        super().__init__()
        self._traces = traces

    def emit(self, record: logging.LogRecord) -> None:
        file = os.path.basename(record.pathname)
        said = [f"{record.name}: {record.levelname.lower()} ({file}, line {record.lineno})"]
        problem = record.exc_info[1] if record.exc_info else None
        if problem is not None and self._traces:
            said += trace(problem)
        _say(said)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's interface
        """Nobody is left to be told; logging would quote the record."""


def speak_for_libraries(*, debug: bool) -> None:
    """Take over whatever may write to stderr by itself. ``debug``: with tracebacks."""
    root = logging.getLogger()
    for each in [each for each in root.handlers if isinstance(each, _Records)]:
        root.removeHandler(each)
    root.addHandler(_Records(traces=debug))
    root.setLevel(logging.INFO if debug else logging.WARNING)
    sys.excepthook = lambda _kind, problem, _trace: _say(trace(problem))
    threading.excepthook = lambda fallen: _say_of(fallen.exc_value)
    sys.unraisablehook = lambda lost: _say_of(lost.exc_value)


def _say_of(problem: BaseException | None) -> None:
    if problem is not None:
        _say(trace(problem))


def _say(lines: Iterable[str]) -> None:
    try:
        for line in lines:
            to_stderr(line)
    except (OSError, ValueError):
        pass  # nobody is left to be told
