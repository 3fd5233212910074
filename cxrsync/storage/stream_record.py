"""The record of a stream: which of its images its reader has used, in a file that the user names.

It is a position in the order of the manifest, and what was left behind it: so it stays small,
whatever the number of images. A line is appended for each image used, and the last whole line
counts. What a kill or a power cut leaves of a line is ignored. So the record is never behind by
more than the image that was not acknowledged, except after a power cut.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrsync.errors import UsageError
from cxrsync.sanitize import reason_of
from cxrsync.storage.atomic_write import write_file

FORMAT = 1
_MAX_BYTES = 4 << 20
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Position:
    """``path``: every image up to it was used, except those in ``left``. ``last``: the image that
    was used last."""

    path: str = ""
    left: frozenset[str] = frozenset()
    last: str = ""

    def is_used(self, path: str) -> bool:
        """Return whether an image was used."""
        return path <= self.path and path not in self.left

    def as_line(self) -> bytes:
        """Return the position as a line of the record."""
        fields = {"position": self.path, "left": sorted(self.left), "last": self.last}
        return json.dumps(fields).encode() + b"\n"


def parse_record(text: bytes, about: Mapping[str, Any]) -> Position | None:
    """Return the position of a record's text; None if it is a record of something else.

    ``about``: what the stream is of. Raises ValueError if it is no record.
    """
    head, *lines = text.split(b"\n")
    first = json.loads(head)
    if not isinstance(first, dict) or first.get("format") != FORMAT or not first.get("dataset"):
        raise ValueError("not a record of a stream")
    if first != {"format": FORMAT, **about}:
        return None
    for line in reversed(lines[:-1]):  # the last one is empty, or was cut off
        with suppress(ValueError, LookupError, TypeError):
            found = json.loads(line)
            path, last = found["position"], found["last"]
            if isinstance(path, str) and isinstance(last, str):
                return Position(path, frozenset(map(str, found["left"])), last)
    return Position()


class StreamRecord:
    """What a stream has used: remembered in ``file``, or, without one, for this stream only."""

    def __init__(self, file: Path | None, about: Mapping[str, Any]) -> None:
        self._file = file
        self._about = about
        self._open: set[str] = set()
        self._fd: int | None = None
        self._written = 0
        self.position = Position()

    def load(self) -> None:
        """Read the file, or make it. Raises: UsageError if it is another file; OSError."""
        if self._file is None:
            return
        try:
            text = self._file.read_bytes()
        except FileNotFoundError:
            pass
        except OSError as problem:
            raise UsageError(
                f"cannot read the record {self._file}: {reason_of(problem)}",
                next_step="Name another file with record=.",
            ) from None
        else:
            self.position = self._parsed(text)
        self._open = set(self.position.left)
        self._rewrite()

    def _parsed(self, text: bytes) -> Position:
        try:
            position = parse_record(text, self._about)
        except (ValueError, RecursionError):
            raise UsageError(
                f"{self._file} is not a record of iter_verified()",
                next_step="It was not changed. Name another file with record=.",
            ) from None
        if position is None:
            raise UsageError(
                f"the record {self._file} is of another dataset, version or selection, or the "
                "published list of these images has changed since",
                next_step="Make the call of then again; or name another file with record=, and all "
                "images come again.",
            )
        return position

    def begin(self, path: str) -> None:
        """Note that an image is on its way. They come in order."""
        self._open.add(path)

    def use(self, path: str) -> None:
        """Note that the reader has used an image. Raises OSError."""
        self._open.discard(path)
        position = max(path, self.position.path)
        left = frozenset(each for each in self._open if each <= position)
        self.position = Position(position, left, path)
        if self._file is None:
            return
        if self._written > _MAX_BYTES:
            self._rewrite()
            return
        assert self._fd is not None
        line = self.position.as_line()
        self._written += os.write(self._fd, line)

    def close(self) -> None:
        """Close the file."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _rewrite(self) -> None:
        """Write the file anew, with the position alone."""
        assert self._file is not None
        self.close()
        head = json.dumps({"format": FORMAT, **self._about}).encode() + b"\n"
        write_file(self._file, head + self.position.as_line())
        self._fd = os.open(self._file, _APPEND)
        self._written = 0
