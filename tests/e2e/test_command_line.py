"""The ways in which the tests run a command: all say the same, and leave the process as it was."""

import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from e2e.command_line import Ended, cxrsync_process
from e2e.forked import ForkedProcess
from e2e.stage import PATIENCE, Machine


def run_process(machine: Machine, *words: str, **options: Any) -> tuple[type, Ended]:
    with cxrsync_process(words, machine.variables(), **options) as process:
        out, err = process.communicate(timeout=PATIENCE)
    return type(process), Ended(process.returncode, out, err)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--version",), 0),
        (("pull", "--help"), 0),
        (("pull", "--no-such-option"), 2),
        (("status", "--jpg"), 2),
        (("ls", "--jpg", "--limit", "3"), 0),
        (("pull", "--jpg", "--only", "docs", "--user-agent", "Mozilla/5.0"), 4),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_in_this_process_forked_or_started_it_says_the_same(
    machine: Machine, words: tuple[str, ...], code: int
) -> None:
    here = machine.run(*words)
    forked, from_forked = run_process(machine, *words)
    started, from_started = run_process(machine, *words, through=("env",))
    assert (forked is ForkedProcess, started is ForkedProcess) == (True, False)
    assert here == from_forked == from_started
    assert here.code == code


def looks() -> dict[str, object]:
    """What a process has one of."""
    umask = os.umask(0)
    os.umask(umask)
    root = logging.getLogger()
    return {
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "umask": umask,
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "words": sys.argv,
        "signals": [signal.getsignal(number) for number in sorted(signal.valid_signals())],
        "logging": (root.level, root.handlers[:]),
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook),
        "limit": resource.getrlimit(resource.RLIMIT_NOFILE),
        # A server's loop may begin another of its helpers for any request; a command's loop has
        # ended all of its own.
        "threads": sorted(
            each.name for each in threading.enumerate() if not each.name.startswith("asyncio_")
        ),
    }


@pytest.mark.parametrize("words", [("pull", "--jpg", "--only", "docs"), ("--no-such-option",)])
def test_nothing_is_left_of_a_command(machine: Machine, words: tuple[str, ...]) -> None:
    machine.run(*words)
    before = looks()
    machine.run("--debug", *words)
    assert looks() == before


def test_what_other_threads_write_is_not_the_commands(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server's, that is; its own threads' is."""
    wake, done = threading.Event(), threading.Event()

    def write() -> None:
        wake.wait(PATIENCE)
        print("a server's", file=sys.stderr)
        logging.getLogger("server").error("a server's")
        done.set()

    server = threading.Thread(target=write)
    server.start()

    def load() -> dict[str, object]:
        wake.set()
        assert done.wait(PATIENCE)
        own = threading.Thread(target=lambda: print("its own", file=sys.stderr))
        own.start()
        own.join()
        return {}

    ended = run_with(monkeypatch, load, machine)
    server.join()
    assert "its own" in ended.err
    assert "server" not in ended.err


def run_with(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[], object], machine: Machine
) -> Ended:
    """A command that makes ``call`` on its way."""
    monkeypatch.setattr("cxrsync.cli.main.cli.main", lambda **_options: call() and None)
    return machine.run("status", "--jpg")
