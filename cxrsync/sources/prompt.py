"""Asks for a user name and a password on the terminal."""

from __future__ import annotations

import getpass
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cxrsync.sources.credentials import Credentials, has_terminal


class TerminalPrompt:
    """Asks on the terminal, if there is one. A signal handler may abandon the question."""

    def __init__(self) -> None:
        self._before: list[Any] | None = None

    def __call__(self, host: str, user: str | None) -> Credentials | None:
        """Ask, as :data:`cxrsync.sources.credentials.Ask` says. Blocks: call it in a thread."""
        if not has_terminal():
            return None
        with self._asking():
            try:
                user = user or _answer(f"User name for {host}: ")
                if not user:
                    return None
                question = f"Password of {user} for {host}: "
                password = getpass.getpass(question, stream=sys.stderr)
            except EOFError:  # Ctrl-D, after which the cursor is behind the question
                sys.stderr.write("\n")
                return None
        return Credentials(user, password, "the terminal") if password else None

    def confirm(self, question: str) -> bool | None:
        """Ask a question, and return whether the answer is yes; None if nobody can be asked.
        Blocks: call it in a thread."""
        if not has_terminal():
            return None
        with self._asking():
            return _answer(f"{question} [y/N] ").casefold() in {"y", "yes"}

    def abandon(self) -> bool:
        """Restore the terminal (with its echo). Return False if no question is open.

        The thread that asks cannot be woken up: the caller must end the process next.
        """
        if self._before is None:
            return False
        termios.tcsetattr(sys.stdin, termios.TCSANOW, self._before)
        return True

    @contextmanager
    def _asking(self) -> Iterator[None]:
        self._before = termios.tcgetattr(sys.stdin)
        try:
            yield
        finally:
            self._before = None


def _answer(question: str) -> str:
    sys.stderr.write(question)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line.endswith("\n"):  # Ctrl-D
        sys.stderr.write("\n")
    return line.strip()
