"""What holds for all tests: how hypothesis searches, which skips CI accepts, and what a run prints
besides whether its tests passed."""

import gc
import os
import signal
import tempfile
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from authorities import NO_AUTHORITIES
from hypothesis import HealthCheck, settings

pytest_plugins = ["sources.store_fixtures"]

# The suite says the same of the same code each time, and nothing of how busy the machine is.
# `--hypothesis-profile search` looks at other examples each time.
_NO_CLOCK = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("suite", derandomize=True, max_examples=30, **_NO_CLOCK)
settings.register_profile("search", derandomize=False, print_blob=True, **_NO_CLOCK)
settings.load_profile("suite")
os.environ.update(NO_AUTHORITIES)

# What a test pulls in this process is not remembered in the home of whoever runs the tests, nor for
# the next test, whose server may have the same port. A command line of the tests has its own home.
os.environ["XDG_CACHE_HOME"] = os.devnull

# Some 400,000 objects are made while tests are collected, and none is garbage: to look for it takes
# a fifth of that time.
gc.disable()

# A shell without job control starts what it puts into the background with SIGINT ignored, and each
# child would inherit that. Tests interrupt programs.
signal.signal(signal.SIGINT, signal.default_int_handler)

_ACCEPTED = tomllib.loads(Path(__file__).with_name("skips.toml").read_text())["accepted"]


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is one: a sync costs nothing there."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="cxrsync-test-", dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """The command line changes the umask of its process; no test sees another test's."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.hookimpl
def pytest_make_parametrize_id(val: object) -> str | None:
    """Return a name for gzip's bytes, which contain the time: all workers must see one name."""
    if isinstance(val, bytes) and val.startswith(b"\x1f\x8b"):
        return f"gzip-{len(val)}"
    return None


def pytest_collection_finish() -> None:
    """From now on garbage is looked for among what tests make."""
    gc.freeze()
    gc.enable()


# ── skips ──────────────────────────────────────────────────────────────────────────────────────


def unaccepted_skips(config: pytest.Config) -> list[str]:
    """The skips that ``skips.toml`` does not have: test and reason."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    found = set()
    for report in terminal.getreports("skipped") if terminal is not None else ():
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        said = reason.removeprefix("Skipped: ")
        if not any(
            fnmatchcase(report.nodeid, each["tests"]) and fnmatchcase(said, each["says"])
            for each in _ACCEPTED
        ):
            found.add(f"{report.nodeid}: {said}")
    return sorted(found)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skip that nobody has accepted is a failure."""
    is_well = session.exitstatus == pytest.ExitCode.OK
    if os.environ.get("CI") and is_well and unaccepted_skips(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


# ── what a run prints ──────────────────────────────────────────────────────────────────────────


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the skips that CI does not accept, and the table of faults."""
    if skips := unaccepted_skips(terminalreporter.config):
        terminalreporter.section("skipped, and not in tests/skips.toml: CI fails")
        for line in skips:
            terminalreporter.write_line(line)
    _print_faults(terminalreporter)


def _print_faults(terminalreporter: pytest.TerminalReporter) -> None:
    """What each fault cost, as the tests saw it."""
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
