"""What a person sees on a terminal: never two seconds without a word, at every width."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from e2e.stage import PATIENCE, Machine
from e2e.terminal import Terminal, watch

from cxrsync.demo.server.server import MiniPhysioNet

Serve = Callable[..., MiniPhysioNet]
MakeMachine = Callable[[MiniPhysioNet], Machine]
Open = Callable[..., Terminal]
SLOW = 6_000
SILENCE = 2.0


@pytest.fixture
def open_terminal(serve: Serve, make_machine: MakeMachine, tmp_path: Path) -> Iterator[Open]:
    """Starts a command on a terminal, with a tree of its own, against a server of 6 kB/s."""
    machine = make_machine(serve(rate=SLOW))
    with ExitStack() as stack:

        def start(words: str, *, columns: int = 80, **environment: str) -> Terminal:
            dest = tmp_path / f"{columns}-{words}".replace(" ", "")
            variables = {**machine.variables(), "CXRSYNC_DEST": str(dest), **environment}
            terminal = Terminal(words.split(), variables, columns=columns)
            stack.callback(terminal.close)
            return terminal

        yield start


def drawn(terminal: Terminal) -> list[str]:
    """The lines of progress: those that are drawn over each other. (Notes are sentences.)"""
    return [line for line in terminal.lines if line.lstrip(" 0123456789")[:1] == "%"]


def test_no_command_is_silent_for_two_seconds_on_a_slow_line(open_terminal: Open) -> None:
    """Each of them fetches the manifest for more than two seconds. (The silence of a process
    counts from its start: the interpreter's own is in it.)"""
    terminals = [
        open_terminal("pull --jpg --split test"),
        open_terminal("pull --jpg --split test --dry-run"),
        open_terminal("ls --jpg --frontal"),
        open_terminal("diff --jpg 2.0.0 2.1.0"),
    ]
    watch(*terminals, seconds=7)
    for terminal in terminals:
        assert terminal.longest_silence() < SILENCE, terminal.seen
        assert any("manifest" in line for line in drawn(terminal)), terminal.text


def test_the_bar_fits_the_terminal_and_follows_a_resize(open_terminal: Open) -> None:
    widths = (40, 80, 200)
    terminals = [
        open_terminal("pull --jpg --shard p10 --no-tables", columns=each) for each in widths
    ]
    deadline = time.monotonic() + PATIENCE
    while not all(" left" in terminal.text for terminal in terminals):
        assert time.monotonic() < deadline
        watch(*terminals, seconds=0.5)
    for terminal, columns in zip(terminals, widths, strict=True):
        assert max(map(len, drawn(terminal))) < columns
    [*_, widest] = terminals
    widest.resize(50)
    watch(widest, seconds=0.7)  # what was drawn at the same moment
    before = len(drawn(widest))
    watch(widest, seconds=1)
    later = drawn(widest)[before:]
    assert later
    assert max(map(len, later)) < 50


def test_ctrl_c_at_a_prompt_says_that_nothing_is_lost(open_terminal: Open) -> None:
    terminal = open_terminal("pull --jpg --shard p10", PHYSIONET_PASSWORD="")
    deadline = time.monotonic() + PATIENCE
    while "Password of demo" not in terminal.text:
        assert time.monotonic() < deadline
        watch(terminal, seconds=0.2)
    asked = terminal.text
    watch(terminal, seconds=1.5)
    assert terminal.text == asked  # nothing is drawn over the question
    terminal.process.send_signal(signal.SIGINT)
    watch(terminal, seconds=PATIENCE)
    assert terminal.process.returncode == 130
    assert "Nothing that was downloaded is lost" in terminal.lines[-1]
