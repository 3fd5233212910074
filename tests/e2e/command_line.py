"""The command line under test: ``cxrsync`` in this process, ``cxrsync_process`` in one of its own.

In this process a command costs a tenth of what a new interpreter does. A process of its own is for
tests whose subject is the process: signals, kills, two commands at once, real standard streams,
limits and mounts of a process, another user, what an interpreter does at its end.
"""

from __future__ import annotations

import gc
import io
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from authorities import NO_AUTHORITIES
from e2e.forked import ForkedProcess, can_fork, is_usual

from cxrsync.cli.main import entry, error_lines
from cxrsync.errors import CxrsyncError


@dataclass(frozen=True)
class Ended:
    """How a command ended. ``events`` are the JSON lines of its stdout, if it wrote such."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]

    @property
    def summary(self) -> dict[str, Any]:
        return self.events[-1]

    def event(self, name: str) -> dict[str, Any]:
        [found] = [event for event in self.events if event["event"] == name]
        return found


def cxrsync_process(
    words: Sequence[str],
    environment: Mapping[str, str],
    *,
    through: Sequence[str] = (),
    closed: Sequence[int] = (),
    **options: Any,
) -> subprocess.Popen[str]:
    """Start ``cxrsync words`` as a child process, its standard streams piped, its stdin empty.

    ``through`` is a command that runs it; ``closed`` are the standard streams that it begins
    without, if it can be forked; ``options`` go to :class:`subprocess.Popen`.
    """
    options = {
        "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
        "text": True, **options,
    }  # fmt: skip
    process: subprocess.Popen[str]
    environment = {**NO_AUTHORITIES, **environment}
    # Another user may not be allowed to import what the tests do.
    has_own_rights = through[:1] == ("setpriv",) and "--reuid" not in through
    if (not through or has_own_rights) and can_fork(environment, options):
        process = ForkedProcess(
            list(words), through=tuple(through), closed=closed, env=environment, **options
        )
    else:
        assert not closed, "only a forked process can begin without a stream"
        command = [*through, sys.executable, "-m", "cxrsync", *words]
        process = subprocess.Popen(command, env=environment, **options)
    _started.append(process)
    return process


_started: list[subprocess.Popen[str]] = []


def end_processes() -> None:
    """End what a test that failed has left, so that it neither runs beside the next test nor
    complains there."""
    while _started:
        process = _started.pop()
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def cxrsync(words: Sequence[str], environment: Mapping[str, str]) -> Ended:
    """Run ``cxrsync words`` in this process, from its real entry point to its exit code.

    The command has ``environment`` and NO_AUTHORITIES, an empty stdin, and its own event loop.
    What it changes of the process is put back. Call it in the main thread, outside of any event
    loop: it takes signals, as the command line does.
    """
    assert threading.current_thread() is threading.main_thread(), "use cxrsync_process here"
    assert is_usual(environment), "use cxrsync_process: an interpreter reads these at its start"
    out, err = _Stream(errors="surrogateescape"), _Stream(errors="backslashreplace")
    before = _descriptors()
    with (
        _own_process_state(environment),
        errors_with_next_steps(),
        open(os.devnull, encoding="utf-8") as nothing,
    ):
        sys.argv = ["cxrsync", *words]
        sys.stdin, sys.stdout, sys.stderr = nothing, out, err
        try:
            entry()
        except SystemExit as done:
            code = done.code
        gc.collect()  # what the command forgot to close complains now, on its own stderr
    assert isinstance(code, int)
    left = open_below(environment.get("CXRSYNC_DEST"), _descriptors() - before)
    assert left == [], f"the command left files open: {left}"
    return Ended(code, out.text(), err.text())


@contextmanager
def errors_with_next_steps() -> Iterator[None]:
    """Fail if a command tells an error without what to do next: the source shows only that an
    error is given some text, which may be empty when it is raised."""
    silent: list[str] = []

    def lines(problem: Exception) -> list[str]:
        if isinstance(problem, CxrsyncError) and not problem.next_step.strip():
            silent.append(f"{type(problem).__name__}: {problem}")
        return error_lines(problem)

    with patch("cxrsync.cli.main.error_lines", lines):
        yield
    assert silent == [], "an error does not say what to do next"


def _descriptors() -> set[str]:
    """What this process holds open, where the system tells."""
    return set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()


def open_below(folder: str | None, descriptors: set[str]) -> list[str]:
    """The files below a folder that some of this process's descriptors stand for."""
    found = []
    for descriptor in descriptors if folder else ():
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return [path for path in found if path.startswith(f"{folder}/")]


class _Stream(io.TextIOWrapper):
    """A standard stream that keeps what is written, except what threads of others write: the
    servers of the tests share the process, and its logging."""

    def __init__(self, errors: str) -> None:
        self._kept = io.BytesIO()
        super().__init__(self._kept, encoding="utf-8", errors=errors, line_buffering=True)
        self._others = set(threading.enumerate()) - {threading.current_thread()}

    def write(self, text: str) -> int:
        if threading.current_thread() in self._others:
            return len(text)
        return super().write(text)

    def text(self) -> str:
        """All of it, with the line ends that a pipe read as text would show."""
        self.flush()
        return io.TextIOWrapper(
            io.BytesIO(self._kept.getvalue()), encoding="utf-8", errors="surrogateescape"
        ).read()


_SIGNALS = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU),
)


@contextmanager
def _own_process_state(environment: Mapping[str, str]) -> Iterator[None]:
    """What a process has one of: as a new process finds it, and afterwards as it was."""
    root = logging.getLogger()
    before = dict(os.environ)
    argv, streams = sys.argv, (sys.stdin, sys.stdout, sys.stderr)
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    handlers, level = root.handlers[:], root.level
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    signals = [signal.getsignal(number) for number in _SIGNALS]
    umask = os.umask(0o022)
    _replace_environment({**NO_AUTHORITIES, **environment})
    gc.freeze()  # what the tests hold is not gone through at the end of each command
    try:
        yield
    finally:
        gc.unfreeze()
        _replace_environment(before)
        os.umask(umask)
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        root.handlers[:], root.level = handlers, level
        sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
        sys.argv = argv
        sys.stdin, sys.stdout, sys.stderr = streams
        for number, handler in zip(_SIGNALS, signals, strict=True):
            signal.signal(number, handler)


def _replace_environment(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
