"""Make one smaller copy of a verified image. It runs in worker processes, and imports little.

The original is hashed as it is read, so a copy is made of the published bytes only. The copy gets
its name when it is whole and synced. Then its folders are synced, and the copy is proven: it is
read back, its digest is compared, and it is decoded.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from cxrsync.storage.filesystem import sync_folders

QUALITY = 95
_FILE_MODE = 0o600
# A JPEG can be decoded at an eighth, a quarter or half of its size. It is decoded at the smallest
# that is so many times as large as the copy: no pixel of an X-ray differs by more than two levels
# from what Lanczos alone gives, in half of the time.
_DRAFT_FACTOR = 2
# The folders whose own names this process has synced: not that of each copy again. Images come in
# order, so a few are enough.
_MOST_FOLDERS = 1_000
_synced: set[str] = set()


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
    the shorter side of the copy. A smaller image keeps its size. ``unfinished``: the folder in
    which the copy lies until it is whole. ``draft``: decode a JPEG at a part of its size.
    ``known``: the digest of a copy that is there already, which is proven anew; "": there is
    none."""

    path: str
    sha256: str
    original: str
    copy: str
    unfinished: str
    pixels: int
    draft: bool = True
    known: str = ""


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

    if task.known:
        with suppress(Exception):  # then it is made again
            # Version 0.3 did not sync the names of copies, and no tool that moves a tree does.
            _sync_file(task.copy)
            _sync_names(task)
            return _proven(task, task.known)
    try:
        with open(task.original, "rb") as file:
            data = file.read()
    except OSError as problem:
        return failed(Derivation.UNREADABLE, problem.errno or 0)
    if hashlib.sha256(data).hexdigest() != task.sha256:
        return failed(Derivation.WRONG)
    try:
        copy = resized(data, task.pixels, draft=task.draft)
    except Exception:  # noqa: BLE001 - a decoder meets foreign bytes, and raises what it likes
        return failed(Derivation.NOT_DECODED)
    try:
        _write(task, copy)
        return _proven(task, hashlib.sha256(copy).hexdigest())
    except OSError as problem:
        return failed(Derivation.NOT_WRITTEN, problem.errno or 0)
    except Exception:  # noqa: BLE001 - what was written is no image for its own decoder
        return failed(Derivation.NOT_WRITTEN, errno.EIO)


def resized(data: bytes, pixels: int, *, draft: bool = True) -> bytes:
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
        if draft and scale < 1:
            image.draft(None, (size[0] * _DRAFT_FACTOR, size[1] * _DRAFT_FACTOR))
        copy = image.resize(size, Image.Resampling.LANCZOS) if scale < 1 else image.copy()
    out = io.BytesIO()
    copy.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def _proven(task: Task, digest: str) -> Derived:
    """Return the result for a copy that is in place. Raises OSError if it has another digest, and
    whatever the decoder raises."""
    from PIL import Image

    with open(task.copy, "rb") as file:
        found = os.fstat(file.fileno())
        data = file.read()
    if hashlib.sha256(data).hexdigest() != digest:
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    with Image.open(io.BytesIO(data)) as image:
        image.load()
    return Derived(
        task.path, task.sha256, Derivation.DERIVED, digest, found.st_size, found.st_mtime_ns
    )


def _write(task: Task, data: bytes) -> None:
    """Put the copy in place, whole and synced, as its name is. Raises OSError."""
    os.makedirs(os.path.dirname(task.copy), mode=0o700, exist_ok=True)
    fresh = f"{task.unfinished}/{secrets.token_hex(16)}"
    fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, task.copy)
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh)
        raise
    _sync_names(task)


def _sync_file(file: str) -> None:
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync_names(task: Task) -> None:
    """Sync the name of a copy, and those of its folders up to the tree's root. Raises OSError.

    Not only of the folders that are new to this process: another worker may have made one a moment
    ago, or one that was killed.
    """
    root = task.copy.removesuffix(f"/{task.path}")
    folder = os.path.dirname(task.copy)
    to_sync, above = [folder], []
    while len(folder) > len(root):
        above.append(folder)
        folder = os.path.dirname(folder)
        if above[-1] not in _synced:
            to_sync.append(folder)
    sync_folders(to_sync)
    if len(_synced) > _MOST_FOLDERS:
        _synced.clear()
    _synced.update(above)
