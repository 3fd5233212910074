"""What the tests tell besides whether they passed; and a place for those that sync a lot."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is one: a sync costs nothing there."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="cxrsync-test-", dir="/dev/shm") as folder:
        yield Path(folder)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of faults: what each cost, as the tests saw it."""
    rows = sorted(
        {
            tuple(value)
            for report in terminalreporter.getreports("passed")
            for name, value in report.user_properties
            if name == "fault"
        }
    )
    if rows:
        terminalreporter.section("every fault: outcome, retries, bytes fetched twice")
        for fault, way, outcome, retries, lost in rows:
            line = f"{fault:<34} {way:<10} {outcome:<14} {retries:>3} {lost:>10,}"
            terminalreporter.write_line(line)
