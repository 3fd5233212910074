"""Replace what Python and libraries write to stderr on their own.

Loggers, uncaught exceptions of threads and unraisable exceptions show the text of foreign
exceptions. Such text can quote what the server sent, including the session cookie.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterable

from cxrsync.sanitize import reason_of, trace
from cxrsync.ui.console import to_stderr

_KEY_LOG = "SSLKEYLOGFILE"


class _Records(logging.Handler):
    """Prints the origin of a log record, not its text, which is the library's own."""

    def __init__(self, *, traces: bool) -> None:
        super().__init__()
        self._traces = traces

    def emit(self, record: logging.LogRecord) -> None:
        file = os.path.basename(record.pathname)
        lines = [f"{record.name}: {record.levelname.lower()} ({file}, line {record.lineno})"]
        problem = record.exc_info[1] if record.exc_info else None
        if problem is not None and self._traces:
            lines += trace(problem)
        _print(lines)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's interface
        """Do nothing: stderr is gone, and logging's own handler would quote the record."""


def capture_library_output(*, debug: bool) -> None:
    """Install our own loggers and hooks for everything that writes to stderr on its own.

    ``debug``: print tracebacks, too.
    """
    root = logging.getLogger()
    for each in [each for each in root.handlers if isinstance(each, _Records)]:
        root.removeHandler(each)
    root.addHandler(_Records(traces=debug))
    root.setLevel(logging.INFO if debug else logging.WARNING)
    # It warns where it knows no project, which only a source that says so needs.
    logging.getLogger("google.auth").setLevel(logging.ERROR)
    sys.excepthook = lambda _kind, problem, _trace: _print(trace(problem))
    threading.excepthook = lambda fallen: _print_error(fallen.exc_value)
    sys.unraisablehook = lambda lost: _print_error(lost.exc_value)


def ignore_unusable_key_log() -> None:
    """Unset SSLKEYLOGFILE, with a note, if the file cannot be written: Python would raise an error
    as soon as TLS is imported."""
    file = os.environ.get(_KEY_LOG)
    try:
        if file:
            os.close(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as problem:
        del os.environ[_KEY_LOG]
        to_stderr(f"note: {_KEY_LOG} is ignored: {file} cannot be written: {reason_of(problem)}")


def _print_error(problem: BaseException | None) -> None:
    if problem is not None:
        _print(trace(problem))


def _print(lines: Iterable[str]) -> None:
    try:
        for line in lines:
            to_stderr(line)
    except (OSError, ValueError):
        pass  # stderr is gone
