"""Standard output, for programs, and standard error, for people; and their failures.

A command must not depend on whether its output can be written.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import islice
from typing import Any, TextIO, cast

from cxrsync.disk_remedies import next_step_of
from cxrsync.errors import OutputLost
from cxrsync.sanitize import printable, reason_of, without_ids

_LINES_AT_A_TIME = 4096
_IDS_ARE_HIDDEN = (
    'note: "…" stands for ids of subjects, studies and images, which may not be published: what '
    "--debug shows is often pasted into public issues. --debug-ids shows them.\n"
)


class _WithoutIds:
    """A standard stream for people that shows "…" in place of ids, and says so once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_told = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        shown = without_ids(text)
        # Only before a whole line: the progress bar writes parts of one.
        if shown != text and not self._is_told and text.endswith("\n"):
            self._is_told = True
            shown = _IDS_ARE_HIDDEN + shown
        self._stream.write(shown)
        return len(text)


class Output:
    """Standard output of one command, in UTF-8 whatever the locale.

    After the first write that fails nothing more is written, and the command goes on. A pipe's
    reader that has ended, such as ``head``, has what it wanted. Any other failure is kept in
    ``lost``, because a reader would take the incomplete output for the whole.

    On a terminal it hides ids where standard error does; programs get everything.
    """

    def __init__(self) -> None:
        # Kept from the beginning: sys.stdout may be redirected, to catch what libraries print.
        self._stream: TextIO | None = sys.stdout
        self._is_read = True
        self._hides_ids = isinstance(sys.stderr, _WithoutIds)
        self.lost: OutputLost | None = None

    def write(self, text: str) -> bool:
        """Write and flush ``text``. Returns False once nothing more can be written."""
        if self._is_read:
            try:
                self._write(without_ids(text) if self._hides_ids and self.is_terminal else text)
            except BrokenPipeError:
                self._stop_writing()
            except OSError as problem:
                step = next_step_of(problem, has_downloads=False)
                self.lost = OutputLost(
                    f"cannot write standard output: {reason_of(problem)}",
                    next_step=f"The output is not complete. {step}",
                )
                self._stop_writing()
            except KeyboardInterrupt:
                self._stop_writing()  # the rest must not wait for a reader
                raise
        return self._is_read

    def write_lines(
        self,
        lines: Iterable[str],
        beside: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> bool:
        """Write each of ``lines`` with a newline. Returns False once nothing more can be written.

        Programs get the lines unchanged; on a terminal, control characters are escaped, and
        ``beside`` surrounds each write, so that no bar is there meanwhile.
        """
        lines = map(printable, lines) if self.is_terminal else iter(lines)
        while self._is_read and (batch := list(islice(lines, _LINES_AT_A_TIME))):
            with beside() if self.is_terminal else nullcontext():
                self.write("\n".join(batch) + "\n")
        return self._is_read

    @property
    def is_terminal(self) -> bool:
        """Whether people read it, not a program."""
        return self._stream is not None and self._stream.isatty()

    @property
    def width(self) -> int:
        """The columns of the terminal; 0 for a file or a pipe, whose lines may be of any length."""
        return shutil.get_terminal_size().columns if self.is_terminal else 0

    def _write(self, text: str) -> None:
        if self._stream is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        buffer = getattr(self._stream, "buffer", None)
        if buffer is None:  # a substitute that stores text, as in tests
            self._stream.write(text)
        else:
            left = memoryview(text.encode(errors="surrogateescape"))
            while left:  # unbuffered (python -u), a write may be partial
                written = buffer.write(left)
                if written is None:
                    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
                left = left[written:]
        self._stream.flush()

    def _stop_writing(self) -> None:
        """Discard what is still in a buffer: it must neither fail again nor wait for a reader."""
        self._is_read = False
        with suppress(OSError, ValueError, AttributeError):
            redirect_to_null(self._stream.fileno())  # type: ignore[union-attr]


def to_stderr(line: str) -> None:
    """Write one line to standard error. Newlines and control characters in it are escaped.

    A failure is ignored: that nobody reads the line changes nothing.
    """
    with suppress(OSError):
        sys.stderr.write(printable(line) + "\n")
        sys.stderr.flush()


def hide_ids() -> None:
    """Show no id of a subject, a study or an image on standard error any more.

    Everything that is written to it from now on goes through one function, whoever writes it.
    """
    if not isinstance(sys.stderr, _WithoutIds):
        sys.stderr = cast("TextIO", _WithoutIds(sys.stderr))


def redirect_to_null(descriptor: int) -> None:
    """Redirect the descriptor to the null device. Raises OSError."""
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, descriptor)
    finally:
        os.close(null)


def open_standard_streams() -> None:
    """Open the standard streams that were closed when the process began.

    Otherwise the next file that is opened would get the stream's number, and be written to by
    whoever uses the stream. Standard output is opened for reading only, so that writes still fail.
    """
    for descriptor, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)  # it gets the lowest free number, which is this one
    # As Python's own: the descriptors stay open when these objects go.
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
