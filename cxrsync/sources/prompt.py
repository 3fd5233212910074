"""Asks for a user name and a password on the terminal."""

from __future__ import annotations

import getpass
import sys
import termios
from typing import Any

from cxrsync.sources.credentials import Credentials


class TerminalPrompt:
    """Asks on the terminal, if there is one. A signal handler may abandon the question."""

    def __init__(self) -> None:
        self._before: list[Any] | None = None

    def __call__(self, host: str, user: str | None) -> Credentials | None:
        """Ask, as :data:`cxrsync.sources.credentials.Ask` says. Blocks: call it in a thread."""
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return None
        self._before = termios.tcgetattr(sys.stdin)
        try:
            if user is None:
                sys.stderr.write(f"User name for {host}: ")
                sys.stderr.flush()
                user = sys.stdin.readline().strip()
            if not user:
                return None
            password = getpass.getpass(f"Password of {user} for {host}: ", stream=sys.stderr)
        except EOFError:  # Ctrl-D
            return None
        finally:
            self._before = None
        return Credentials(user, password, "the terminal") if password else None

    def confirm(self, question: str) -> bool | None:
        """Ask a question, and return whether the answer is yes; None if nobody can be asked.
        Blocks: call it in a thread."""
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return None
        self._before = termios.tcgetattr(sys.stdin)
        try:
            sys.stderr.write(f"{question} [y/N] ")
            sys.stderr.flush()
            return sys.stdin.readline().strip().casefold() in {"y", "yes"}
        finally:
            self._before = None

    def abandon(self) -> bool:
        """Restore the terminal (with its echo). Return False if no question is open.

        The thread that asks cannot be woken up: the caller must end the process next.
        """
        if self._before is None:
            return False
        termios.tcsetattr(sys.stdin, termios.TCSANOW, self._before)
        return True
