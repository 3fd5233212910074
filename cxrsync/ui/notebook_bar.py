"""The progress bar of a notebook: a widget where there are widgets, else a line of text.

tqdm.auto decides which. It is drawn only in :meth:`NotebookBar.tick` and
:meth:`NotebookBar.close`, which are called in the thread of the cell: output of any other thread
may end up in another cell.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Any

from cxrsync.errors import ExitCode
from cxrsync.events import (
    Event,
    Finished,
    Notice,
    Planned,
    Retrying,
    RunSummary,
    Started,
    Waiting,
)
from cxrsync.ui.log_lines import LineReporter
from cxrsync.ui.notebook_table import safe
from cxrsync.ui.progress import Progress
from cxrsync.ui.progress_text import log_line, progress_line
from cxrsync.ui.summary_text import as_text

# The width of a line of text. A notebook does not say how wide it is; it wraps a longer one.
_COLUMNS = 79
_QUIET_SECONDS = 1.0
_NOTED = (Notice, Planned, Retrying, Started, Waiting)


def tqdm_class() -> Any:
    """Return the class of bars that this notebook can show."""
    with warnings.catch_warnings():
        # Without ipywidgets tqdm.auto warns, and returns the bar of text that is meant then.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    return tqdm


class NotebookBar:
    """Counts events in any thread, and draws in the thread that calls ``tick``.

    The notes of a run stand above the bar, without ids: notebooks are shared and committed.
    """

    def __init__(
        self,
        make: Callable[[], Any] = tqdm_class,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._make = make
        self._clock = clock
        self._began = clock()
        self._lock = threading.Lock()
        self._progress = Progress(clock)
        self._lines: list[str] = []
        self._notes = LineReporter(self._lines.append, verbose=False)
        self._bar: Any = None
        self._summary: RunSummary | None = None

    def listen(self, event: Event) -> None:
        """Count an event. May be called in any thread."""
        with self._lock:
            self._progress.listen(event)
            if isinstance(event, _NOTED):  # failures of files are counted in the bar
                self._notes.listen(event)
            elif isinstance(event, Finished):
                self._summary = event.summary

    def tick(self) -> None:
        """Draw, once the call has taken a second."""
        if self._bar is not None or self._clock() - self._began >= _QUIET_SECONDS:
            self._draw()

    def close(self, *, well: bool) -> None:
        """Show the end. A bar of files stays: green if the call ended ``well`` and all files are
        here, else red. A bar of anything else is removed."""
        summary = self._summary
        if self._bar is not None:
            share = self._draw(is_end=True)
            is_done = well and (summary is None or summary.exit_code == ExitCode.COMPLETE)
            self._bar.leave = share is not None or not well
            self._bar.n = self._bar.total if is_done else min(share or 0.0, 0.999)
            self._bar.close()
            self._bar = None
        self._write_lines()
        if summary is not None and (text := as_text(summary)):
            self._write("\n".join(map(safe, text.split("\n"))))

    def _draw(self, *, is_end: bool = False) -> float | None:
        """Draw the bar, and return the share that is done."""
        with self._lock:
            values, asks = self._progress.values(), self._progress.asks
        if is_end:
            values = replace(values, left=None, rate=0.0)
        if asks:  # the question stands below
            return values.share
        if self._bar is None:
            self._bar = self._make()(
                total=1.0,
                file=sys.stdout,  # stderr is red in a notebook
                mininterval=0,
                miniters=0,
                bar_format="{desc}",
            )
        self._write_lines()
        self._bar.n = values.share or 0.0
        is_widget = hasattr(self._bar, "container")  # it draws the share itself
        text = log_line(values) if is_widget else progress_line(values, _COLUMNS, self._drawn_bar)
        self._bar.set_description_str(safe(text), refresh=True)
        return values.share

    def _write_lines(self) -> None:
        with self._lock:
            lines = [*self._lines]
            self._lines.clear()
        if lines:
            self._write("\n".join(map(safe, lines)))

    def _write(self, text: str) -> None:
        if self._bar is None:
            sys.stdout.write(text + "\n")
        else:
            self._bar.write(text)

    def _drawn_bar(self, share: float, width: int) -> str:
        drawn: str = self._bar.format_meter(
            share, 1.0, 0.0, ascii=self._bar.ascii, bar_format=f"{{bar:{width}}}"
        )
        return drawn
