"""Lines for people: no name from a server or a disk can forge a line, or move the cursor."""

import io
import os
import pty
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ui.simulated_job import MB, Clock

from cxrsync.events import (
    Checked,
    ConcurrencyChanged,
    Event,
    FileDone,
    Finding,
    Finished,
    Notice,
    Planned,
    Retrying,
    RunSummary,
    Started,
    Totals,
    Waiting,
)
from cxrsync.model import Outcome, RejectedLine, Result
from cxrsync.progress_events import Activity, Phase, Resumed, Suspended
from cxrsync.ui.bar import BarReporter
from cxrsync.ui.console import to_stderr
from cxrsync.ui.log_lines import LineReporter, ProgressLines, TreeReporter
from cxrsync.ui.reporters import Reporters, SummaryReporter

NASTY = "a\x1b[2J\x9b1m\r\n\u202efailed: b\udcff"
SEEN = "a\\x1b[2J\\x9b1m\\x0d\\x0a\\u202efailed: b\\udcff"
NOTHING = Totals()


def summary(text: str) -> RunSummary:
    amounts = [Totals(1)] + [NOTHING] * 8
    problem = Outcome(text, Result.FAILED, reason=text)
    return RunSummary(text, text, text, text, *amounts, 1, 1.0, 5, problems=(problem,), error=text)


def every_event(text: str) -> list[Event]:
    return [
        Started(text, text, text, text, 8),
        Planned(1, 0, 0, 1, 0, refused=(RejectedLine(1, text),), refused_lines=1),
        Notice(text), ConcurrencyChanged(2), Retrying(text, 1.0, text), Retrying("", 1.0, text),
        FileDone(Outcome(text, Result.FAILED, reason=text)),
        FileDone(Outcome(text, Result.CONTRADICTED, reason=text)),
        FileDone(Outcome(text, Result.FETCHED)),
        Checked(text, Finding.EXTRA), Checked(text, Finding.BAD),
        Finished(summary(text)),
    ]  # fmt: skip


@settings(max_examples=30)
@given(st.text(max_size=20))
def test_no_event_can_forge_a_line(text: str) -> None:
    def lines_of(text: str) -> list[str]:
        said = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stderr", said)
            listeners = [LineReporter(to_stderr, verbose=True), SummaryReporter(to_stderr)]
            for event in every_event(text):
                for each in listeners:
                    each.listen(event)
        return said.getvalue().removesuffix("\n").split("\n")

    lines = lines_of(text)
    assert len(lines) == len(lines_of("x"))
    assert all(line.isprintable() for line in lines)


def test_the_lines_above_the_bar_cannot_be_forged_either() -> None:
    stream = io.StringIO()
    bar = BarReporter(stream, lambda write: LineReporter(write, verbose=True))
    for event in every_event(NASTY):
        bar.listen(event)
    said = stream.getvalue()
    assert SEEN in said
    for mark in ("\x1b[2J", "\x9b", "\u202e", "\udcff", "a\r\n"):
        assert mark not in said


WRITE = """
from cxrsync.ui.console import Output
Output().write_lines(["a\\u202eb", "c"])
"""


def test_paths_are_unchanged_for_a_program_and_escaped_for_a_terminal() -> None:
    to_program = subprocess.run([sys.executable, "-c", WRITE], capture_output=True, check=True)
    assert to_program.stdout.decode() == "a\u202eb\nc\n"

    ours, theirs = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", WRITE], stdout=theirs, check=True)
        assert os.read(ours, 1000).decode() == "a\\u202eb\r\nc\r\n"
    finally:
        os.close(ours)
        os.close(theirs)


def test_names_on_a_disk_are_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As ``verify`` finds them: any byte except the slash."""
    name = os.fsdecode(b"x\nmissing: y\xff\x1b[31m")
    (tmp_path / name).touch()
    [found] = os.listdir(tmp_path)
    LineReporter(to_stderr, verbose=True).listen(Checked(found, Finding.EXTRA))
    assert capsys.readouterr().err == "extra: x\\x0amissing: y\\udcff\\x1b[31m\n"


def test_a_line_of_progress_every_half_minute_but_not_in_a_pause() -> None:
    clock, lines = Clock(), list[str]()
    reporter = ProgressLines(lines.append, 30, clock=clock)
    for event in (Planned(4, 1, MB, 3, 0), Phase(Activity.FETCHING)):
        reporter.listen(event)
    for _second in range(61):
        clock.now += 1
        reporter.tick()
    assert len(lines) == 2
    stamp, _, line = lines[0].partition(" ")
    datetime.fromisoformat(stamp)
    assert line.startswith("25 %, 1 of 4 files, 1.0 MB")
    reporter.listen(Suspended())
    clock.now += 100
    reporter.tick()
    assert len(lines) == 2
    reporter.listen(Resumed())
    clock.now += 30
    reporter.listen(Finished(summary("x")))
    assert len(lines) == 2


def test_nothing_is_drawn_over_a_question() -> None:
    clock, stream = Clock(), io.StringIO()
    bar = BarReporter(stream, lambda write: LineReporter(write, verbose=False), clock=clock)
    clock.now += 2
    bar.tick()
    assert "starting" in stream.getvalue()
    bar.listen(Suspended(asks=True))
    asked = stream.getvalue()
    clock.now += 60
    bar.tick()
    assert stream.getvalue() == asked
    assert asked.endswith("\r\x1b[K")  # the line of progress is gone
    bar.listen(Resumed())
    bar.tick()
    assert stream.getvalue() != asked
    bar.close()
    closed = stream.getvalue()
    bar.tick()
    assert stream.getvalue() == closed


def test_a_terminal_that_draws_no_bar_shows_each_phase_that_lasts() -> None:
    clock, lines = Clock(), list[str]()
    reporter = ProgressLines(lines.append, 30, stamped=False, each_phase=True, clock=clock)
    for _tick in range(4):
        clock.now += 0.5
        reporter.tick()
    reporter.listen(Phase(Activity.PLANNING))
    reporter.listen(Phase(Activity.SELECTING))  # planning took no time
    clock.now += 1
    reporter.tick()
    assert lines == ["starting, 1 s", "reading the tables, 1 s"]


class Writes(io.StringIO):
    """A terminal, and each write to it."""

    def __init__(self) -> None:
        super().__init__()
        self.columns = 80
        self.each: list[str] = []

    def write(self, text: str) -> int:
        self.each.append(text)
        return len(text)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Writes:
    terminal = Writes()
    monkeypatch.setattr(BarReporter, "_columns", lambda _bar: terminal.columns)
    return terminal


def drawing(terminal: Writes, clock: Clock) -> BarReporter:
    """A bar that is there, of a command that plans."""
    bar = BarReporter(terminal, lambda write: LineReporter(write, verbose=False), clock=clock)
    bar.listen(Phase(Activity.PLANNING, "a dataset"))
    clock.now += 1
    bar.tick()
    assert terminal.each == ["planning: a dataset, 1 s"]
    terminal.each.clear()
    return bar


def test_each_change_of_the_terminal_is_one_write(terminal: Writes) -> None:
    clock = Clock()
    bar = drawing(terminal, clock)
    bar.tick()
    bar.listen(Notice("a line"))
    bar.hide()
    assert terminal.each == [
        "\rplanning: a dataset, 1 s\x1b[K",
        "\rnote: a line\x1b[K\nplanning: a dataset, 1 s\x1b[K",
        "\r\x1b[K",
    ]


def test_a_bar_that_a_narrower_terminal_has_wrapped_is_removed_whole(terminal: Writes) -> None:
    bar = drawing(terminal, Clock())
    terminal.columns = 10  # 24 columns: three lines
    bar.tick()
    assert terminal.each == ["\x1b[2A\r\x1b[Jplanning\x1b[K"]


def test_a_wait_is_a_line_once_and_counted_in_the_bar(terminal: Writes) -> None:
    clock = Clock()
    bar = drawing(terminal, clock)
    bar.listen(Waiting("no answer yet", 1.5, 60))
    for _half in range(60):
        clock.now += 0.5
        bar.tick()
    bar.listen(Waiting("no answer yet", 31.5, 30))
    text = "".join(terminal.each)
    assert text.count("waiting up to 1 min: no answer yet") == 1
    assert "waiting up to 30 s" not in text
    assert "\rwaiting 14 s: no answer yet\x1b[K" in terminal.each
    clock.now += 100
    bar.listen(Waiting("no answer yet", 1.5, 60))
    assert "".join(terminal.each).count("waiting up to 1 min: no answer yet") == 2


def test_a_narrow_terminal_has_no_room_for_the_name_of_a_job(terminal: Writes) -> None:
    clock = Clock()
    bar = BarReporter(terminal, TreeReporter, label="jpg", clock=clock)
    clock.now += 1
    bar.tick()
    terminal.columns = 40
    bar.tick()
    assert terminal.each == ["jpg: starting, 1 s", "\rstarting, 1 s\x1b[K"]


@pytest.mark.parametrize(("kind", "has_bar"), [("xterm", True), ("dumb", False)])
def test_a_terminal_that_cannot_redraw_a_line_gets_no_bar(
    kind: str, has_bar: bool, terminal: Writes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", kind)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    reporters = Reporters(0, progress="auto")
    reporters.tell(Planned(4, 1, MB, 3, 0))
    reporters.close()
    assert ("starting" in terminal.each) is has_bar
    assert any("4 files selected" in each for each in terminal.each)
