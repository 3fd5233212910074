"""What a person sees on a terminal: never two seconds without a word, at every width."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from shutil import which

import pytest
from e2e import beats
from e2e.command_line import cxrsync
from e2e.stage import JOB_DEFAULTS, PATIENCE, Machine, wait_until
from e2e.terminal import Terminal, watch

from cxrsync.demo.server import faults
from cxrsync.demo.server.server import MiniPhysioNet

Serve = Callable[..., MiniPhysioNet]
MakeMachine = Callable[[MiniPhysioNet], Machine]
Open = Callable[..., Terminal]
SLOW = 2_000
MODERATE = 20_000
# Two seconds, less the start of an interpreter, which a forked process does not have.
SILENCE = 1.6
LASTS = 2.6


@pytest.fixture
def open_terminal(serve: Serve, make_machine: MakeMachine, tmp_path: Path) -> Iterator[Open]:
    """Starts a command on a terminal, with a tree of its own, against a server that is no faster
    than a few seconds allow, and whose images never come to their end."""
    endless = faults.Rule("*.jpg", faults.drips(4_000, 100), attempts=None)
    machine = make_machine(serve(rate=MODERATE, faults=faults.script(endless)))
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


def watch_until(condition: Callable[[], bool], *terminals: Terminal) -> None:
    """Note what is written to terminals until something is there."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, [terminal.text for terminal in terminals]
        watch(*terminals, seconds=0.1)


class Slow(Enum):
    """What takes so long that a command only ends when it is interrupted."""

    LINE = "line"
    ANSWERS = "answers"
    DISK = "disk"
    ITSELF = "itself"


@dataclass(frozen=True)
class Case:
    """A command that lasts. ``answers``: what is typed, question by question."""

    words: str
    slow: Slow
    answers: tuple[tuple[str, str], ...] = ()


LASTING = (
    Case("pull --jpg --shard p10 --no-tables", Slow.LINE),
    Case("pull --jpg --split test --dry-run", Slow.LINE),
    Case("ls --jpg --frontal", Slow.LINE),
    Case("diff --jpg 2.0.0 2.1.0", Slow.LINE),
    Case("head metadata --jpg", Slow.LINE),
    Case("mirror jobs.yaml", Slow.LINE),
    Case("mirror --check jobs.yaml", Slow.LINE),
    Case("pull --jpg --shard p10", Slow.ANSWERS),
    Case("info mimic-cxr-jpg", Slow.ANSWERS),
    Case("cite mimic-cxr-jpg", Slow.ANSWERS),
    Case("access", Slow.ANSWERS),
    Case("whoami", Slow.ANSWERS),
    Case("login --netrc", Slow.ANSWERS, (("Password of demo", "demo-password"),)),
    Case("status --jpg", Slow.DISK),
    Case("verify --jpg", Slow.DISK),
    Case("verify --jpg --scrub 1s", Slow.DISK),
    Case("info", Slow.DISK),
    Case("demo --serve --patients 5000 --dir .", Slow.ITSELF),
)


def test_no_command_is_silent_for_two_seconds_and_each_says_at_ctrl_c_how_to_go_on(
    serve: Serve, make_machine: MakeMachine, tmp_path: Path
) -> None:
    quick, late = make_machine(serve()), make_machine(serve(latency=PATIENCE))
    slow = make_machine(serve(rate=SLOW))
    here, marked = tmp_path / "here", tmp_path / "marked"
    for dest, words in (
        (here, ["pull", "--jpg", "--shard", "p10", "--no-tables"]),
        (marked, ["mirror", "--init", write_jobs(tmp_path)]),
    ):
        done = cxrsync(words, {**quick.variables(), "CXRSYNC_DEST": str(dest)})
        assert done.code == 0, done

    def start(case: Case, folder: Path) -> Terminal:
        folder.mkdir()
        is_here = case.slow is Slow.DISK
        dest = here if is_here else marked if "mirror" in case.words else folder
        machine = late if case.slow is Slow.ANSWERS else slow
        words = case.words.replace("jobs.yaml", str(tmp_path / "jobs.yaml"))
        variables = {
            **machine.variables(),
            "CXRSYNC_DEST": str(dest),
            "HOME": str(folder),
            **beats.recorded(folder / "beats", seconds=LASTS, slow_disk=here if is_here else None),
        }
        terminal = Terminal(words.split(), variables, cwd=folder)
        terminal.answers = list(case.answers)
        return terminal

    with ExitStack() as stack:
        running = []
        for number, case in enumerate(LASTING):
            running.append((case, start(case, folder := tmp_path / str(number)), folder / "beats"))
            stack.callback(running[-1][1].close)
        watch(*(terminal for _case, terminal, _record in running), seconds=4 * PATIENCE)
    silences = {case: beats.seconds_of_silence(record) for case, _terminal, record in running}
    for case, terminal, _record in running:
        assert max(map(len, drawn(terminal)), default=0) < 80, case
        assert terminal.answers == []
        assert terminal.process.returncode == 130, terminal.text
        assert "un the same command again" in terminal.lines[-1], terminal.text
    assert {case.words: each for case, each in silences.items() if each[0] >= SILENCE} == {}
    assert {case.words: each for case, each in silences.items() if each[1] < LASTS} == {}


def write_jobs(folder: Path) -> str:
    file = folder / "jobs.yaml"
    file.write_text(JOB_DEFAULTS + "jobs:\n  - {name: jpg, jpg: true, shard: p10}\n")
    return str(file)


def test_the_bar_fits_the_terminal_and_follows_a_resize(open_terminal: Open) -> None:
    widths = (40, 80, 200)
    terminals = [
        open_terminal("pull --jpg --shard p10 --no-tables", columns=each) for each in widths
    ]
    watch_until(lambda: all(" left" in terminal.text for terminal in terminals), *terminals)
    for terminal, columns in zip(terminals, widths, strict=True):
        assert max(map(len, drawn(terminal))) < columns
    [*_, widest] = terminals
    before = len(drawn(widest))
    widest.resize(50)
    # What was drawn at the same moment may still be wide.
    watch_until(lambda: any(len(line) < 50 for line in drawn(widest)[before:]), *terminals)
    before = len(drawn(widest))
    watch_until(lambda: len(drawn(widest)) > before + 2, *terminals)
    assert max(map(len, drawn(widest)[before:])) < 50


@pytest.mark.skipif(which("tmux") is None, reason="tmux is not installed")
def test_tmux_shows_one_bar_however_it_is_resized(
    serve: Serve, make_machine: MakeMachine, tmp_path: Path
) -> None:
    """It wraps the bar when it becomes narrower, before cxrsync draws anew."""
    machine = make_machine(serve(rate=SLOW))
    command = shlex.join([sys.executable, "-m", "cxrsync", "ls", "--jpg", "--frontal"])

    def tmux(*words: str) -> str:
        done = subprocess.run(
            ["tmux", "-f", os.devnull, "-S", tmp_path / "tmux", *words],
            env=machine.variables(), capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    def has_one_bar(text: str) -> bool:
        bars = [line for line in tmux("capture-pane", "-p").splitlines() if "manifest" in line]
        return len(bars) == 1 and text in bars[0]

    tmux("new-session", "-d", "-x", "120", "-y", "20", f"echo a line above; {command}; sleep 60")
    try:
        for columns, text in (("120", "fetching the m"), ("40", "manifest: "), ("90", "fetching")):
            tmux("resize-window", "-x", columns, "-y", "20")
            wait_until(partial(has_one_bar, text))
            # tmux moves what has become too long off the screen, at its top.
            assert tmux("capture-pane", "-p", "-S", "-").startswith("a line above\n")
    finally:
        tmux("kill-server")


QUESTIONS = (
    ("pull --jpg --shard p10", "Password of demo", "Nothing that was downloaded is lost"),
    ("pull --jpg --dry-run", "Password of demo", "Nothing that was downloaded is lost"),
    ("ls --jpg", "Password of demo", "Nothing that was downloaded is lost"),
    ("access", "Password of demo", "nothing was changed"),
    ("login --netrc", "Password of demo", "nothing was stored"),
    ("login", "[y/N]", "nothing was stored"),
)


def test_nothing_is_drawn_over_a_question_and_ctrl_c_there_says_what_is_safe(
    open_terminal: Open,
) -> None:
    running = [
        (open_terminal(words, PHYSIONET_PASSWORD=""), question, safe)
        for words, question, safe in QUESTIONS
    ]
    terminals = [terminal for terminal, _question, _safe in running]
    watch_until(
        lambda: all(question in terminal.text for terminal, question, _safe in running), *terminals
    )
    asked = [terminal.text for terminal in terminals]
    watch(*terminals, seconds=1.5)
    assert [terminal.text for terminal in terminals] == asked
    assert [terminal.echoes for terminal in terminals] == [False] * 5 + [True]
    for terminal in terminals:
        terminal.process.send_signal(signal.SIGINT)
    watch(*terminals, seconds=PATIENCE)
    for terminal, _question, safe in running:
        assert terminal.process.returncode == 130
        assert safe in terminal.lines[-1]
        assert "un the same command again" in terminal.lines[-1]
        assert terminal.echoes
