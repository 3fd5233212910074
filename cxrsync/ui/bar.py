"""The progress bar, for a terminal.

Whatever changes there changes by one write: a terminal that shows what it has received so far shows
neither an empty line nor half of one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic
from typing import Protocol, TextIO

from cxrsync.events import Event, Finished, Planned, Started, Waiting
from cxrsync.sanitize import printable
from cxrsync.ui.progress import Progress
from cxrsync.ui.progress_text import progress_line

_REDRAW_SECONDS = 0.2
# A command that ends sooner shows no bar.
_QUIET_SECONDS = 0.4
_USUAL_COLUMNS = 80
# Two waits for the same that began so close together are one.
_SAME_SECONDS = 1.0
# A terminal of so many columns has room for the name of a job, too.
_COLUMNS_FOR_LABEL = 60
# ECMA-48: erase from the cursor to the end of the line (EL) or of the screen (ED); cursor up (CUU).
_ERASE_LINE, _ERASE_BELOW, _UP = "\x1b[K", "\x1b[J", "\x1b[{}A"


class Lines(Protocol):
    """Writes the lines that stand above the bar."""

    def listen(self, event: Event) -> None: ...


class BarReporter:
    """Shows a progress bar, and the lines of a log above it. It is removed at the end."""

    def __init__(
        self,
        stream: TextIO,
        lines: Callable[[Callable[[str], None]], Lines],
        *,
        verbose: bool = False,
        label: str = "",
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """``lines`` makes what writes the lines, from a function that writes one. ``label``: what
        the bar is of, where that is not obvious."""
        self._stream = stream
        self._lines = lines(self._write)
        self._verbose = verbose
        self._label = f"{label}: " if label else ""
        self._clock = clock
        self._progress = Progress(clock)
        self._began = self._drawn_at = clock()
        self._drawn = ""
        self._wait = "", 0.0
        self._is_over = self._is_closed = False

    def listen(self, event: Event) -> None:
        self._progress.listen(event)
        if isinstance(event, Finished | Started):
            self._is_over = isinstance(event, Finished)
        if self._is_over or self._progress.asks:
            self.hide()
        elif isinstance(event, Planned) and (event.to_fetch or event.to_hash):
            self._draw()
        if not self._is_shown_already(event):
            self._lines.listen(event)
        if self._drawn and self._clock() - self._drawn_at > _REDRAW_SECONDS:
            self._draw()

    def tick(self) -> None:
        if self._drawn or self._clock() - self._began >= _QUIET_SECONDS:
            self._draw()

    def close(self) -> None:
        self._is_closed = True
        self.hide()

    def hide(self) -> None:
        """Remove the bar until the next event or tick."""
        if self._drawn:
            self._show("", "")

    def _is_shown_already(self, event: Event) -> bool:
        """Whether the bar tells an event: it counts the seconds of a wait after its first line."""
        if not isinstance(event, Waiting):
            return False
        wait = event.what, self._clock() - event.waited
        is_told = wait[0] == self._wait[0] and abs(wait[1] - self._wait[1]) < _SAME_SECONDS
        self._wait = wait
        return is_told

    def _draw(self) -> None:
        if self._is_closed or self._is_over or self._progress.asks:
            return
        self._show("", self._line())

    def _line(self) -> str:
        # The last column stays free: a terminal would begin a new line after it.
        width = self._columns() - 1
        label = self._label if width >= _COLUMNS_FOR_LABEL else ""
        values = self._progress.values()
        room = width - len(label)
        return printable(
            label + progress_line(values, room, self._drawn_bar, verbose=self._verbose)
        )

    def _drawn_bar(self, share: float, width: int) -> str:
        from tqdm import tqdm  # here: most runs of a batch system and of cron draw no bar

        is_ascii = not (self._stream.encoding or "").lower().startswith("utf")
        form = f"{{bar:{width}}}"
        return tqdm.format_meter(share, 1.0, 0.0, ascii=is_ascii, bar_format=form)

    def _columns(self) -> int:
        """The width of the terminal at this moment: a user may change it."""
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or _USUAL_COLUMNS
        except (OSError, ValueError):
            return _USUAL_COLUMNS

    def _write(self, line: str) -> None:
        self._show(printable(line), self._line() if self._drawn else "")

    def _show(self, line: str, bar: str) -> None:
        """Replace what is drawn by a line, if there is one, and the bar below it."""
        rows = (len(self._drawn) - 1) // self._columns()
        text = line + _ERASE_LINE * bool(self._drawn) + "\n" if line else ""
        if self._drawn:
            # In a terminal that has become narrower, the bar takes several lines now.
            start = _UP.format(rows) + "\r" + _ERASE_BELOW if rows > 0 else "\r"
            text = start + text + bar + _ERASE_LINE
        else:
            text += bar
        self._drawn, self._drawn_at = bar, self._clock()
        self._stream.write(text)
        self._stream.flush()
