"""The progress bar, for a terminal."""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic
from typing import IO, Never, Protocol

from tqdm import tqdm

from cxrsync.events import Event, Finished, Planned
from cxrsync.sanitize import printable
from cxrsync.ui.progress import Progress
from cxrsync.ui.progress_text import progress_line

_REDRAW_SECONDS = 0.2
# A command that ends sooner shows no bar.
_QUIET_SECONDS = 1.0
_USUAL_COLUMNS = 80


class Lines(Protocol):
    """Writes the lines that stand above the bar."""

    def listen(self, event: Event) -> None: ...


class BarReporter:
    """Shows a progress bar, and the lines of a log above it. It is removed at the end."""

    def __init__(
        self,
        stream: IO[str],
        lines: Callable[[Callable[[str], None]], Lines],
        *,
        verbose: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """``lines`` makes what writes the lines, from a function that writes one."""
        self._stream = stream
        self._lines = lines(self._write)
        self._verbose = verbose
        self._clock = clock
        self._progress = Progress(clock)
        self._began = self._drawn = clock()
        self._bar: tqdm[Never] | None = None
        self._is_closed = False

    def listen(self, event: Event) -> None:
        self._progress.listen(event)
        if isinstance(event, Finished):
            self.close()
        elif self._progress.asks:
            self._remove()
        elif isinstance(event, Planned) and (event.to_fetch or event.to_hash):
            self._draw()
        self._lines.listen(event)
        if self._bar is not None and self._clock() - self._drawn > _REDRAW_SECONDS:
            self._draw()

    def tick(self) -> None:
        if self._bar is not None or self._clock() - self._began >= _QUIET_SECONDS:
            self._draw()

    def close(self) -> None:
        self._is_closed = True
        self._remove()

    def _remove(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _draw(self) -> None:
        if self._is_closed or self._progress.asks:
            return
        if self._bar is None:
            self._bar = tqdm(
                file=self._stream, leave=False, mininterval=0, miniters=0, bar_format="{desc}"
            )
        # The last column stays free: a terminal would begin a new line after it.
        line = progress_line(
            self._progress.values(), self._columns() - 1, self._drawn_bar, verbose=self._verbose
        )
        self._bar.set_description_str(printable(line), refresh=True)
        self._drawn = self._clock()

    def _drawn_bar(self, share: float, width: int) -> str:
        assert self._bar is not None
        form = f"{{bar:{width}}}"
        return self._bar.format_meter(share, 1.0, 0.0, ascii=self._bar.ascii, bar_format=form)

    def _columns(self) -> int:
        """The width of the terminal at this moment: a user may change it."""
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or _USUAL_COLUMNS
        except (OSError, ValueError):
            return _USUAL_COLUMNS

    def _write(self, line: str) -> None:
        line = printable(line)
        if self._bar is None:
            self._stream.write(line + "\n")
            self._stream.flush()
        else:
            self._bar.write(line, file=self._stream)
