"""A command on a pseudo-terminal, and what a person saw there, and when."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise

from e2e.command_line import cxrsync_process


class Terminal:
    """A running command whose standard streams are a pseudo-terminal of so many columns."""

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        *,
        columns: int = 80,
    ) -> None:
        self._ours, theirs = pty.openpty()
        self.resize(columns)
        self.began = time.monotonic()
        self.seen: list[tuple[float, bytes]] = []
        self.process = cxrsync_process(
            words, environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)

    def resize(self, columns: int) -> None:
        """Change the width, as a person does with a window."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def fileno(self) -> int:
        return self._ours

    def read(self) -> bool:
        """Note what was written; return False once the command has ended."""
        try:
            data = os.read(self._ours, 65_536)
        except OSError:  # Linux: nobody writes any more
            data = b""
        if data:
            self.seen.append((time.monotonic() - self.began, data))
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
        text = self.text.replace("\x1b[A", "").replace("\n", "\r")
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
