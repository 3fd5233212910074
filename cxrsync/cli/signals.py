"""Signals such as Ctrl-C: the first ends a run with its state saved, the second ends it at once."""

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
    signal.SIGHUP: ExitCode.TERMINATED,  # the terminal or the ssh session was closed
}


@contextmanager
def obeying_signals(prompt: TerminalPrompt, reporters: Reporters) -> Iterator[CancelToken]:
    """Let signals cancel the yielded token. Must be called inside a running event loop."""
    cancel = CancelToken()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals, code: ExitCode) -> None:
        if cancel.code is not None or prompt.abandon():
            # The second signal, or one at the prompt, before there is any state to save. What is on
            # the disk stays valid.
            os._exit(code)
        cancel.request(code)
        reporters.tell(
            Notice(f"{number.name}: saving the state; repeat the signal to stop at once")
        )

    for number, code in _SIGNALS.items():
        loop.add_signal_handler(number, on_signal, number, code)
    try:
        yield cancel
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
