"""A command on a pseudo-terminal, and what a person saw there, and when."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from e2e.command_line import cxrsync_process

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A running command whose standard streams are a pseudo-terminal of so many columns."""

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        *,
        columns: int = 80,
        cwd: Path | None = None,
        through: Sequence[str] = (),
    ) -> None:
        self._ours, theirs = pty.openpty()
        self.resize(columns)
        self.began = time.monotonic()
        self.seen: list[tuple[float, bytes]] = []
        self.answers: list[tuple[str, str]] = []
        self.process = cxrsync_process(
            words, environment, through=through, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd
        )
        os.close(theirs)

    def resize(self, columns: int) -> None:
        """Change the width, as a person does with a window."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def type(self, text: str) -> None:
        """Type on the terminal's keyboard."""
        os.write(self._ours, text.encode())

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        flags: int = termios.tcgetattr(self._ours)[3]
        return bool(flags & termios.ECHO)

    def fileno(self) -> int:
        return self._ours

    def read(self) -> bool:
        """Note what was written, and type the next of ``answers`` (question, answer). Returns False
        once the command has ended."""
        try:
            data = os.read(self._ours, 65_536)
        except OSError:  # Linux: nobody writes any more
            data = b""
        if data:
            self.seen.append((time.monotonic() - self.began, data))
            if self.answers and self.answers[0][0] in self.text:
                self.type(self.answers.pop(0)[1] + "\n")
        return bool(data)

    def close(self) -> None:
        """End the command, and close the terminal."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._ours)

    @property
    def text(self) -> str:
        """All that was written."""
        return b"".join(data for _at, data in self.seen).decode()

    @property
    def lines(self) -> list[str]:
        """Each line as it was drawn: what stands between two returns."""
        text = _CONTROL.sub("", self.text).replace("\n", "\r")
        return [line.rstrip() for line in text.split("\r") if line.strip()]

    def longest_silence(self) -> float:
        """The longest time without a word, from the start of the process to what came last."""
        times = [0.0, *(at for at, _data in self.seen)]
        return max(later - earlier for earlier, later in pairwise(times))


def watch(*terminals: Terminal, seconds: float) -> None:
    """Note what is written to terminals until their commands have ended, or so many seconds."""
    deadline = time.monotonic() + seconds
    running = list(terminals)
    while running and (left := deadline - time.monotonic()) > 0:
        for terminal in select.select(running, [], [], left)[0]:
            if not terminal.read():
                running.remove(terminal)
                terminal.process.wait()
