"""What the tests tell besides whether they passed."""

import pytest


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
