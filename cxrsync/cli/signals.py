"""Signals such as Ctrl-C: the first ends a run with its state saved, the second at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from cxrsync.cancellation import AGAIN, STATE_IS_SAVED, CancelToken
from cxrsync.cli.signal_codes import CODES, STOP_AT_ONCE, STOPPED_AT_ONCE, is_ignored
from cxrsync.errors import ExitCode, Stopped
from cxrsync.events import Event, Notice
from cxrsync.sources.prompt import TerminalPrompt
from cxrsync.ui.console import to_stderr


class Teller(Protocol):
    """Shows events, and nothing any more once it is closed."""

    def tell(self, event: Event) -> None: ...

    def close(self) -> None: ...


@contextmanager
def obeying_signals(
    prompt: TerminalPrompt, reporters: Teller, safe: str = STATE_IS_SAVED
) -> Iterator[CancelToken]:
    """Let signals cancel the yielded token. Must be called inside a running event loop. ``safe``:
    see :class:`CancelToken`."""
    cancel = CancelToken(safe)
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals, code: ExitCode) -> None:
        is_second = cancel.code is not None
        if prompt.abandon() or (is_second and number in STOP_AT_ONCE):
            # The second signal, or one at the prompt, before there is any state to save. What is on
            # the disk stays valid.
            reporters.close()
            to_stderr("")  # the cursor may be behind a question
            to_stderr(f"cxrsync: {_stopped_at_once(cancel.safe)}")
            os._exit(code)
        if is_second:
            return
        cancel.request(code)
        again = "repeat the signal" if number in STOP_AT_ONCE else "SIGTERM or Ctrl-C"
        ends = "saving the state" if cancel.safe == STATE_IS_SAVED else "stopping"
        reporters.tell(Notice(f"{number.name}: {ends}; {again} to stop at once"))

    obeyed = [number for number in CODES if not is_ignored(number)]
    before = {number: signal.getsignal(number) for number in obeyed}
    # asyncio's own handler of Ctrl-C cancels a task, which does not end a write to a full pipe.
    before[signal.SIGINT] = signal.default_int_handler
    for number in obeyed:
        loop.add_signal_handler(number, on_signal, number, CODES[number])
    try:
        yield cancel
    finally:
        for number in obeyed:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])


@contextmanager
def raising_at_signals(next_step: str = AGAIN) -> Iterator[None]:
    """Raise Stopped at the first signal in the block, which needs no event loop: so the block can
    remove what is not finished."""

    def on_signal(number: int, _frame: object) -> None:
        stopped = Stopped("stopped as asked", next_step=next_step)
        stopped.exit_code = CODES[signal.Signals(number)]
        raise stopped

    obeyed = [number for number in CODES if not is_ignored(number)]
    before = {number: signal.signal(number, on_signal) for number in obeyed}
    try:
        yield
    finally:
        for number in obeyed:
            signal.signal(number, before[number])


def _stopped_at_once(safe: str) -> str:
    if safe == STATE_IS_SAVED:
        return STOPPED_AT_ONCE
    return f"stopped at once; {safe}. {AGAIN}"
