"""A tree on a local disk as a source: ``--from DIR``."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from cxrsync.errors import BadAnswer, NotFound, Unreachable
from cxrsync.model import Ref
from cxrsync.source.base import Answer, Opened, PastEnd, Unchanged

_CHUNK = 1 << 20


class LocalTree:
    """A Source: ``DIR/<dataset>/<version>/<path>``, or DIR itself where it is a version's root."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise Unreachable(f"{folder}: no such folder")
        self._folder = folder
        self._nested = not (folder / "SHA256SUMS.txt").is_file()
        self.requests = 0

    @property
    def identity(self) -> str:
        return self._folder.as_uri()

    @asynccontextmanager
    async def open(
        self,
        ref: Ref,
        start: int = 0,
        stop: int | None = None,
        resume_if: str | None = None,
        skip_if: str | None = None,
    ) -> AsyncIterator[Answer]:
        """See :meth:`cxrsync.source.base.Source.open`. The validator is mtime and size."""
        self.requests += 1
        root = self._folder / ref.dataset / ref.version if self._nested else self._folder
        try:
            # Without O_NONBLOCK the open of a named pipe would wait for a writer, and all with it.
            fd = os.open(root / ref.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"no such file: {root / ref.path}") from None
        except OSError as problem:
            raise BadAnswer(f"cannot read {root / ref.path}: {problem.strerror}") from None
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise NotFound(f"not a file: {root / ref.path}")
            validator = f'"{found.st_mtime_ns:x}-{found.st_size:x}"'
            if validator == skip_if:
                yield Unchanged()
            elif start and resume_if not in {None, validator}:
                yield self._opened(fd, 0, None, found, validator)
            elif start and start >= found.st_size:
                yield PastEnd(found.st_size)
            else:
                yield self._opened(fd, start, stop, found, validator)
        finally:
            os.close(fd)

    async def versions(self, dataset: str) -> list[str]:
        if not self._nested:
            return []
        try:
            folders = [each.name for each in os.scandir(self._folder / dataset) if each.is_dir()]
        except OSError:
            return []
        return sorted(folders)

    async def total(self, dataset: str, version: str) -> int | None:
        root = self._folder / dataset / version if self._nested else self._folder
        return await asyncio.to_thread(_size_of, root)

    async def close(self) -> None:
        """Nothing is kept open."""

    @staticmethod
    def _opened(
        fd: int, start: int, stop: int | None, found: os.stat_result, validator: str
    ) -> Opened:
        end = found.st_size if stop is None else min(stop, found.st_size)

        async def chunks() -> AsyncIterator[bytes]:
            at = start
            while at < end:
                try:
                    data = await asyncio.to_thread(os.pread, fd, min(_CHUNK, end - at), at)
                except OSError as problem:  # this tree's trouble, not the destination's
                    raise BadAnswer(f"cannot read on: {problem.strerror}") from None
                if not data:
                    raise BadAnswer("the file became shorter while it was read")
                at += len(data)
                yield data

        return Opened(start, found.st_size, validator, found.st_mtime, chunks())


def _size_of(root: Path) -> int:
    size = 0
    for folder, _folders, names in os.walk(root):
        for name in names:
            with suppress(OSError):
                size += os.lstat(f"{folder}/{name}").st_size
    return size
