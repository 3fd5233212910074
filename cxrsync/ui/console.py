"""Standard output, which programs read, and standard error, which people read; and what becomes of
a command when they cannot be written."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from typing import TextIO

from cxrsync.errors import OutputLost
from cxrsync.sanitize import printable, reason_of

_LINES_AT_A_TIME = 4096


class Output:
    """Standard output of one command, in UTF-8 whatever the locale.

    Once it cannot be written it is let go: what a command does must not depend on who reads it. A
    reader who has gone (of a pipe, as behind ``head``) has all that was wanted. Anything else is
    ``lost``: whoever counts on the output would take a part of it for the whole.
    """

    def __init__(self) -> None:
        # Held from the beginning: what others print by themselves may be caught.
        self._stream: TextIO | None = sys.stdout
        self._is_read = True
        self.lost: OutputLost | None = None

    def write(self, text: str) -> bool:
        """Write it now. False once there is no use in writing more."""
        if self._is_read:
            try:
                self._write(text)
            except BrokenPipeError:
                self._let_go()
            except OSError as problem:
                self.lost = OutputLost(f"cannot write standard output: {reason_of(problem)}")
                self._let_go()
            except KeyboardInterrupt:
                self._let_go()  # what is still to be written must not wait for a reader
                raise
        return self._is_read

    def write_lines(self, lines: Iterable[str]) -> bool:
        """Write each on a line of its own, many at a time, as long as there is any use in it.

        To a program they go as they are; to a terminal, with what no line should hold escaped.
        """
        lines = map(printable, lines) if self._is_terminal() else iter(lines)
        while self._is_read and (some := list(islice(lines, _LINES_AT_A_TIME))):
            self.write("\n".join(some) + "\n")
        return self._is_read

    def _is_terminal(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def _write(self, text: str) -> None:
        if self._stream is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        buffer = getattr(self._stream, "buffer", None)
        if buffer is None:  # a stand-in that keeps text
            self._stream.write(text)
        else:
            left = memoryview(text.encode(errors="surrogateescape"))
            while left:  # unbuffered (python -u), it may take a part and say nothing
                taken = buffer.write(left)
                if taken is None:
                    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
                left = left[taken:]
        self._stream.flush()

    def _let_go(self) -> None:
        """What is still in a buffer must neither fail again nor wait for a reader."""
        self._is_read = False
        with suppress(OSError, ValueError, AttributeError):
            to_nowhere(self._stream.fileno())  # type: ignore[union-attr]


def to_stderr(line: str) -> None:
    """One line for a person: one, whatever a server's or a disk's text in it may hold. Where nobody
    can read it, that changes nothing."""
    with suppress(OSError):
        sys.stderr.write(printable(line) + "\n")
        sys.stderr.flush()


def to_nowhere(descriptor: int) -> None:
    """From now on what is written to the descriptor goes nowhere. Raises OSError."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, descriptor)
    finally:
        os.close(nowhere)


def have_standard_streams() -> None:
    """Where the process was begun with a standard stream closed: its number must not go to the
    next file that is opened, and whoever reads or writes it must find something.

    Standard output stays what cannot be written.
    """
    for descriptor, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)  # gets the lowest number that is free: this one
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - for good
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for good
