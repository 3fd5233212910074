"""Make one smaller copy of a verified image. It runs in worker processes, and imports little.

The original is hashed as it is read, so a copy is made of the published bytes only. The copy is
decoded once before it is written, and gets its name when it is whole and synced.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

QUALITY = 95
_PARENT_SECONDS = 0.25
_FILE_MODE = 0o600


class Derivation(Enum):
    """What became of one image."""

    DERIVED = "derived"
    WRONG = "the original does not have the published digest"
    NOT_DECODED = "no decoder opens it"
    UNREADABLE = "it cannot be read"
    NOT_WRITTEN = "the copy cannot be written"


@dataclass(frozen=True, slots=True)
class Task:
    """An image to make a copy of. ``sha256``: the published digest of the original; ``pixels``: of
    the shorter side of the copy. A smaller image keeps its size.
    ``unfinished``: the folder in which the copy lies until it is whole."""

    path: str
    sha256: str
    original: str
    copy: str
    unfinished: str
    pixels: int


@dataclass(frozen=True, slots=True)
class Derived:
    """The copy of one image, or why there is none. ``error``: the number of a system's error."""

    path: str
    source_sha256: str
    result: Derivation
    sha256: str = ""
    size: int = 0
    mtime_ns: int = 0
    error: int = 0


def derive(task: Task) -> Derived:
    """Make the copy of one image. Raises nothing that concerns the image: the result says it."""

    def failed(result: Derivation, error: int = 0) -> Derived:
        return Derived(task.path, task.sha256, result, error=error)

    try:
        with open(task.original, "rb") as file:
            data = file.read()
    except OSError as problem:
        return failed(Derivation.UNREADABLE, problem.errno or 0)
    if hashlib.sha256(data).hexdigest() != task.sha256:
        return failed(Derivation.WRONG)
    try:
        copy = resized(data, task.pixels)
    except Exception:  # noqa: BLE001 - a decoder meets foreign bytes, and raises what it likes
        return failed(Derivation.NOT_DECODED)
    try:
        found = _write(task, copy)
    except OSError as problem:
        return failed(Derivation.NOT_WRITTEN, problem.errno or 0)
    digest = hashlib.sha256(copy).hexdigest()
    return Derived(
        task.path, task.sha256, Derivation.DERIVED, digest, found.st_size, found.st_mtime_ns
    )


def resized(data: bytes, pixels: int) -> bytes:
    """Return a JPEG whose shorter side has so many pixels, of the same proportions and mode.

    Raises whatever the decoder raises.
    """
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        scale = min(1.0, pixels / min(width, height))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if image.mode not in {"L", "RGB"}:
            raise ValueError(image.mode)
        copy = image.resize(size, Image.Resampling.LANCZOS) if scale < 1 else image.copy()
    out = io.BytesIO()
    copy.save(out, "JPEG", quality=QUALITY)
    with Image.open(io.BytesIO(out.getvalue())) as proof:
        proof.load()
    return out.getvalue()


def _write(task: Task, data: bytes) -> os.stat_result:
    """Put the copy in place, whole. Raises OSError."""
    os.makedirs(os.path.dirname(task.copy), mode=0o700, exist_ok=True)
    fresh = f"{task.unfinished}/{secrets.token_hex(16)}"
    fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            found = os.fstat(file.fileno())
        os.replace(fresh, task.copy)
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh)
        raise
    return found


def begin_worker(parent: int) -> None:
    """Begin a worker: it leaves Ctrl-C to its parent, and ends with it, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
