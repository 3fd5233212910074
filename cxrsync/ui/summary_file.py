"""The summary of a run as one line of JSON at the end of a file (``--summary-file``)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from cxrsync.errors import OutputLost
from cxrsync.events import Event, Finished
from cxrsync.sanitize import reason_of
from cxrsync.ui.log_file import append, next_step


class SummaryFile:
    """Appends the summary to a file. ``lost``: why it could not be written, if so."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tell: Callable[[OutputLost], None] = lambda _lost: None
        self.lost: OutputLost | None = None

    def check(self) -> None:
        """Create the file, or find out that it can be written. Raises: OutputLost."""
        self._append(b"")
        if self.lost is not None:
            raise self.lost

    def on_loss(self, tell: Callable[[OutputLost], None]) -> None:
        """Call ``tell`` if the summary is lost."""
        self._tell = tell

    def listen(self, event: Event) -> None:
        if isinstance(event, Finished):
            self.say_summary(event.summary.as_json())

    def say_summary(self, fields: dict[str, object]) -> None:
        """Append one line."""
        self._append(json.dumps({"event": "summary", **fields}).encode() + b"\n")

    def tick(self) -> None:
        """Do nothing: the summary is the last event."""

    def close(self) -> None:
        """Do nothing: no resource is open."""

    def _append(self, data: bytes) -> None:
        try:
            append(self._path, data)
        except OSError as problem:
            self.lost = OutputLost(
                f"the summary cannot be written to {self._path}: {reason_of(problem)}",
                next_step=next_step(problem),
            )
            self._tell(self.lost)
