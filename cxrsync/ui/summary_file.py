"""The summary of a run as one line of JSON at the end of a file (``--summary-file``)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from cxrsync.disk_remedies import remedy_of
from cxrsync.errors import OutputLost
from cxrsync.events import Event, Finished
from cxrsync.sanitize import reason_of

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_MODE = 0o600  # a summary names the files that failed


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
            descriptor = os.open(self._path, _FLAGS, _MODE)
            try:
                os.write(descriptor, data)
            finally:
                os.close(descriptor)
        except OSError as problem:
            self.lost = OutputLost(
                f"the summary cannot be written to {self._path}: {reason_of(problem)}",
                next_step=f"{remedy_of(problem).capitalize()}. No downloaded file is lost.",
            )
            self._tell(self.lost)
