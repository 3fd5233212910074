"""Which listeners a command has."""

from __future__ import annotations

import sys

from cxrsync.report.progress import BarListener, JsonListener, LineListener, Listener


def listeners_for(loudness: int, *, as_json: bool, progress: str) -> list[Listener]:
    """The listeners for ``--json`` and ``--progress`` (auto, bar, log, none).

    ``loudness``: -1 quiet, 0 normal, 1 verbose.
    """
    listeners: list[Listener] = [JsonListener()] if as_json else []
    if progress == "auto":
        progress = "bar" if sys.stderr.isatty() else "log"
    if loudness < 0:
        return listeners
    if progress == "bar":
        listeners.append(BarListener(sys.stderr, verbose=loudness > 0))
    elif progress == "log":
        listeners.append(LineListener(_to_stderr, verbose=loudness > 0))
    return listeners


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
