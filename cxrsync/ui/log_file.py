"""A log file that logrotate may move away at any time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cxrsync.clock import time_stamp
from cxrsync.disk_remedies import remedy_of
from cxrsync.errors import OutputLost
from cxrsync.sanitize import printable, reason_of

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_MODE = 0o600  # names of files are ids of patients


def append(path: Path, data: bytes) -> None:
    """Append bytes to a file that only its owner may read; create it if need be. Raises OSError."""
    descriptor = os.open(path, _FLAGS, _MODE)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def next_step(problem: OSError) -> str:
    """Return what to do about a file of the output that cannot be written."""
    missing = isinstance(problem, FileNotFoundError | NotADirectoryError)
    remedy = "create its folder" if missing else remedy_of(problem)
    return f"{remedy[0].upper()}{remedy[1:]}. Everything else is done all the same."


class LogFile:
    """Appends lines, each with the local time.

    The file is opened for each line, so that a file that was moved away gets no more lines. After
    an error the run goes on without its log; ``lost`` says why.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tell: Callable[[OutputLost], None] = lambda _lost: None
        self.lost: OutputLost | None = None

    def on_loss(self, tell: Callable[[OutputLost], None]) -> None:
        """Call ``tell`` once, when the first line is lost."""
        self._tell = tell

    def write(self, line: str) -> None:
        """Append one line. Newlines and control characters in it are escaped."""
        self._append(f"{time_stamp()} {printable(line)}\n".encode(errors="surrogateescape"))

    def check(self) -> None:
        """Find out whether lines can be written; create the file, but write nothing."""
        self._append(b"")

    def _append(self, data: bytes) -> None:
        try:
            append(self._path, data)
        except OSError as problem:
            if self.lost is None:
                self.lost = OutputLost(
                    f"the log {self._path} cannot be written: {reason_of(problem)}",
                    next_step=next_step(problem),
                )
                self._tell(self.lost)
