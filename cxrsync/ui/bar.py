"""The progress bar, for a terminal."""

from __future__ import annotations

from time import monotonic
from typing import IO, Never

from tqdm import tqdm

from cxrsync.events import Event, Finished, Planned
from cxrsync.sanitize import printable
from cxrsync.ui.log_lines import LineReporter
from cxrsync.ui.progress import Progress

_REDRAW_SECONDS = 0.2


class BarReporter:
    """Shows a progress bar, and the lines of a log above it."""

    def __init__(self, stream: IO[str], *, verbose: bool) -> None:
        self._stream = stream
        self._lines = LineReporter(self._write, verbose=verbose, every=None)
        self._progress = Progress()
        self._drawn = 0.0
        self._bar: tqdm[Never] | None = None

    def listen(self, event: Event) -> None:
        self._progress.listen(event)
        if isinstance(event, Planned) and (event.to_fetch or event.to_hash):
            self._open()
        if isinstance(event, Finished):
            self.close()
        self._lines.listen(event)
        if self._bar is not None and monotonic() - self._drawn > _REDRAW_SECONDS:
            self._draw()

    def close(self) -> None:
        if self._bar is not None:
            self._draw()
            self._bar.close()
            self._bar = None

    def _open(self) -> None:
        if self._bar is None:
            self._bar = tqdm(
                total=self._progress.todo,
                file=self._stream,
                dynamic_ncols=True,
                mininterval=0,
                miniters=0,
                bar_format="{percentage:3.0f}% |{bar:20}| {desc}",
            )
        else:
            self._bar.total = self._progress.todo

    def _draw(self) -> None:
        assert self._bar is not None
        self._bar.n = self._progress.done
        count = f"{self._progress.done:,}/{self._progress.todo:,} files"
        self._bar.set_description_str(f"{count}, {self._progress}", refresh=True)
        self._drawn = monotonic()

    def _write(self, line: str) -> None:
        line = printable(line)
        if self._bar is None:
            self._stream.write(line + "\n")
            self._stream.flush()
        else:
            self._bar.write(line, file=self._stream)
