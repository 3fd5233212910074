"""Ctrl-C and its kin: asked once, a run ends in good order; asked twice, at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from cxrsync.cancellation import CancelToken
from cxrsync.errors import ExitCode
from cxrsync.events import Notice
from cxrsync.sources.prompt import TerminalPrompt
from cxrsync.ui.reporters import Reporters

_SIGNALS = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGHUP: ExitCode.TERMINATED,  # the terminal, or the ssh session, has gone
}


@contextmanager
def obeying_signals(prompt: TerminalPrompt, reporters: Reporters) -> Iterator[CancelToken]:
    """Signals end what is in here by way of the Stop. Call it inside a running event loop."""
    stop = CancelToken()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals, code: ExitCode) -> None:
        if stop.code is not None or prompt.abandon():
            # Asked twice, or before there was anything to save: at once. What is on the disk
            # stays good.
            os._exit(code)
        stop.request(code)
        reporters.tell(Notice(f"{number.name}: saving the state; once more to stop at once"))

    for number, code in _SIGNALS.items():
        loop.add_signal_handler(number, on_signal, number, code)
    try:
        yield stop
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
