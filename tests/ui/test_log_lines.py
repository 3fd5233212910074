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
)
from cxrsync.model import Outcome, RejectedLine, Result
from cxrsync.progress_events import Activity, Phase, Resumed, Suspended
from cxrsync.ui.bar import BarReporter
from cxrsync.ui.console import to_stderr
from cxrsync.ui.log_lines import LineReporter, ProgressLines
from cxrsync.ui.reporters import SummaryReporter

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
    assert asked.endswith("\r")  # the line of progress is gone
    bar.listen(Resumed())
    bar.tick()
    assert stream.getvalue() != asked
    bar.close()
    closed = stream.getvalue()
    bar.tick()
    assert stream.getvalue() == closed
