"""Signals that end a command, and their exit codes.

A batch system warns before it ends a job: SLURM (``--signal``) and Grid Engine (``-notify``) with
SIGUSR1, LSF and Grid Engine with SIGUSR2, a limit on CPU time with SIGXCPU. A terminal or an ssh
session that is closed sends SIGHUP.
"""

from __future__ import annotations

import os
import signal

from cxrsync.errors import ExitCode

WARNINGS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
CODES = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    **dict.fromkeys(WARNINGS, ExitCode.TERMINATED),
}
STOPPED_AT_ONCE = (
    "stopped at once. Nothing that was downloaded is lost: run the same command again to resume."
)
# Of commands that have nothing to resume.
STOPPED = "stopped at once. Run the same command again."
# A person, or a batch system that waits no longer, sends these twice. SIGHUP comes twice anyway:
# from the shell and from the terminal.
STOP_AT_ONCE = frozenset({signal.SIGINT, signal.SIGTERM})


def is_ignored(number: signal.Signals) -> bool:
    """Return whether who started us wants a warning to be ignored, as ``nohup`` does."""
    return number in WARNINGS and signal.getsignal(number) is signal.SIG_IGN


def end_at_warnings() -> None:
    """Let warnings end the process with 143, where no run has a state to save. The system would end
    it with a code of its own for each."""
    for number in WARNINGS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda _number, _frame: os._exit(ExitCode.TERMINATED))
