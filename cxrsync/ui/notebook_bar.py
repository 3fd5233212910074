"""The progress bar of a notebook: a widget where there are widgets, else a line of text.

tqdm.auto decides which. It is drawn only in :meth:`NotebookBar.tick` and
:meth:`NotebookBar.close`, which are called in the thread of the cell: output of any other thread
may end up in another cell.
"""

from __future__ import annotations

import threading
import warnings
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

from cxrsync.events import Event, Notice, Planned, Retrying, Started, Waiting
from cxrsync.sanitize import printable, without_ids
from cxrsync.ui.log_lines import LineReporter
from cxrsync.ui.progress import Progress
from cxrsync.ui.progress_text import log_line, progress_line

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
        self._lines: deque[str] = deque()
        self._notes = LineReporter(self._lines.append, verbose=False)
        self._bar: Any = None

    def listen(self, event: Event) -> None:
        """Count an event. May be called in any thread."""
        with self._lock:
            self._progress.listen(event)
            if isinstance(event, _NOTED):  # failures of files are counted in the bar
                self._notes.listen(event)

    def tick(self) -> None:
        """Draw, once the call has taken a second."""
        if self._bar is not None or self._clock() - self._began >= _QUIET_SECONDS:
            self._draw()

    def close(self) -> None:
        """Draw the last state, which stays. It is green if all is done, else red."""
        if self._bar is not None or self._lines:
            self._draw()
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _draw(self) -> None:
        with self._lock:
            values, asks = self._progress.values(), self._progress.asks
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if asks:
            return
        if self._bar is None:
            self._bar = self._make()(
                total=1.0, leave=True, mininterval=0, miniters=0, bar_format="{desc}"
            )
        for line in lines:
            self._bar.write(without_ids(printable(line)))
        self._bar.n = values.share or 0.0
        is_widget = hasattr(self._bar, "container")  # it draws the share itself
        text = log_line(values) if is_widget else progress_line(values, _COLUMNS, self._drawn_bar)
        self._bar.set_description_str(without_ids(printable(text)), refresh=True)

    def _drawn_bar(self, share: float, width: int) -> str:
        drawn: str = self._bar.format_meter(
            share, 1.0, 0.0, ascii=self._bar.ascii, bar_format=f"{{bar:{width}}}"
        )
        return drawn
