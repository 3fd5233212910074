"""Where a Python program shows progress and asks for a password: a notebook, a terminal, a log."""

from __future__ import annotations

import getpass
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from cxrsync.events import Event, LeftOut, Notice
from cxrsync.sources.credentials import Ask, Credentials
from cxrsync.sources.prompt import TerminalPrompt
from cxrsync.ui.notebook_bar import NotebookBar
from cxrsync.ui.notebook_table import safe
from cxrsync.ui.reporters import Reporters


class Shown(Protocol):
    """Shows the progress of a call. ``tick`` and ``close`` are called in the caller's thread."""

    def listen(self, event: Event) -> None: ...

    def tick(self) -> None: ...

    def close(self, *, well: bool) -> None: ...


class Logged:
    """Shows nothing. What a user should know is a message of the logger ``cxrsync``, without
    ids: what was left out a warning, anything else an information."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("cxrsync")

    def listen(self, event: Event) -> None:
        """Log a notice."""
        if isinstance(event, Notice):
            level = logging.WARNING if isinstance(event, LeftOut) else logging.INFO
            self._logger.log(level, "%s", safe(event.text))

    def tick(self) -> None:
        """Do nothing."""

    def close(self, *, well: bool) -> None:
        """Do nothing."""


class Terminal:
    """Shows what the command line shows: a bar on a terminal, lines of a log elsewhere."""

    def __init__(self) -> None:
        self._reporters = Reporters(0, json_to=None, progress="auto")
        self._reporters.__enter__()

    def listen(self, event: Event) -> None:
        """Pass the event on."""
        self._reporters.tell(event)

    def tick(self) -> None:
        """Do nothing: the reporters have a clock of their own."""

    def close(self, *, well: bool) -> None:  # noqa: ARG002 - the bar of a terminal goes in any case
        """Remove the bar."""
        self._reporters.close()


def in_notebook() -> bool:
    """Return whether the program runs in a kernel of Jupyter (also of Colab and VS Code)."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


@contextmanager
def showing(*, progress: bool) -> Iterator[Shown]:
    """Yield what shows the progress of a call, until its end."""
    shown: Shown = Logged()
    if progress:
        shown = NotebookBar() if in_notebook() else Terminal()
    try:
        yield shown
    except BaseException:
        shown.close(well=False)
        raise
    shown.close(well=True)


class NotebookPrompt:
    """Asks below the cell, where the frontend can. Nothing of the answer gets into the notebook."""

    def __call__(self, host: str, user: str | None) -> Credentials | None:
        """Ask, as :data:`cxrsync.sources.credentials.Ask` says. To be called in the cell's thread.

        A frontend that nobody sits at, as nbclient's and papermill's, refuses at once.
        """
        try:
            if user is None:
                user = input(f"User name for {host}: ").strip()
            if not user:
                return None
            password = getpass.getpass(f"Password of {user} for {host}: ")
        except (NotImplementedError, EOFError):  # IPython's StdinNotImplementedError
            return None
        return Credentials(user, password, "the notebook") if password else None


def prompt() -> Ask | None:
    """Return what asks a person for a password; None if nobody can be asked in this thread."""
    if threading.current_thread() is not threading.main_thread():
        return None
    return NotebookPrompt() if in_notebook() else TerminalPrompt()
