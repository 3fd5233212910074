"""Which signals end a run with its state saved, which stop at once, and which are left ignored."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from cxrsync.cli.signal_codes import CODES, WARNINGS, end_at_warnings
from cxrsync.cli.signals import obeying_signals
from cxrsync.errors import ExitCode
from cxrsync.sources.prompt import TerminalPrompt
from cxrsync.ui.reporters import Reporters


@pytest.fixture(autouse=True)
def exits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The codes with which the process would have ended at once."""
    codes: list[int] = []
    before = {number: signal.getsignal(number) for number in CODES}
    monkeypatch.setattr(os, "_exit", codes.append)
    for number in WARNINGS:
        signal.signal(number, signal.SIG_DFL)
    yield codes
    for number, handler in before.items():
        signal.signal(number, handler)


def code_after(*numbers: signal.Signals) -> int | None:
    """What a run is asked to end with after these signals."""

    async def run() -> int | None:
        reporters = Reporters(-1, json_to=None, progress="none")
        with obeying_signals(TerminalPrompt(), reporters) as cancel:
            for number in numbers:
                os.kill(os.getpid(), number)
                await asyncio.sleep(0.01)
        return cancel.code

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
        (signal.SIGHUP, 143),  # the terminal or the ssh session was closed
        (signal.SIGUSR1, 143),  # SLURM --signal=USR1@300
        (signal.SIGUSR2, 143),  # LSF
        (signal.SIGXCPU, 143),  # ulimit -t
    ],
)
def test_a_signal_ends_the_run(number: signal.Signals, code: int, exits: list[int]) -> None:
    assert code_after(number) == code
    assert exits == []


@pytest.mark.parametrize(
    ("numbers", "stops"),
    [
        ((signal.SIGINT, signal.SIGINT), [130]),
        ((signal.SIGTERM, signal.SIGTERM), [143]),
        ((signal.SIGUSR1, signal.SIGTERM), [143]),  # the batch system waits no longer
        # From the shell and from the terminal; from systemd with SendSIGHUP.
        ((signal.SIGHUP, signal.SIGHUP), []),
        ((signal.SIGTERM, signal.SIGHUP), []),
        ((signal.SIGUSR1, signal.SIGUSR1, signal.SIGUSR2), []),
    ],
    ids=str,
)
def test_the_second_signal(
    numbers: tuple[signal.Signals, ...], stops: list[int], exits: list[int]
) -> None:
    assert code_after(*numbers) == CODES[numbers[0]]
    assert exits == stops


@pytest.mark.parametrize("number", WARNINGS)
def test_what_nohup_ignores_stays_ignored(number: signal.Signals, exits: list[int]) -> None:
    signal.signal(number, signal.SIG_IGN)
    end_at_warnings()
    assert code_after(number) is None
    assert signal.getsignal(number) is signal.SIG_IGN
    assert exits == []


@pytest.mark.parametrize("number", WARNINGS)
def test_a_warning_outside_of_a_run(number: signal.Signals, exits: list[int]) -> None:
    """Before it, and after it: 143, whatever the system's own code would be."""
    end_at_warnings()
    os.kill(os.getpid(), number)
    assert code_after() is None
    os.kill(os.getpid(), number)
    assert exits == [ExitCode.TERMINATED] * 2
