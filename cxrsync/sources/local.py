"""A tree on a local disk as a source: ``--from DIR``."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol

from cxrsync.errors import InvalidResponse, NotFound, Unreachable
from cxrsync.model import RemotePath, is_time
from cxrsync.sanitize import reason_of
from cxrsync.sources.base import Answer, Opened, PastEnd, Unchanged

_CHUNK = 1 << 20


class Trees(Protocol):
    """Finds the trees in a folder."""

    def root_of(self, dataset: str, version: str) -> Path | None:
        """Return the root of a version's tree; None if there is none."""

    def versions(self, dataset: str) -> list[str]:
        """Return the versions of ``dataset`` in the folder, in the order of their names."""


class LocalTree:
    """A Source: the trees in a folder, whose roots ``trees`` finds."""

    def __init__(self, folder: Path, trees: Trees) -> None:
        if not folder.is_dir():
            raise Unreachable(f"{folder}: no such folder")
        self._identity = folder.resolve().as_uri()
        self._trees = trees
        self._roots: dict[tuple[str, str], Path] = {}
        self.requests = 0

    @property
    def identity(self) -> str:
        return self._identity

    @asynccontextmanager
    async def open(
        self,
        ref: RemotePath,
        start: int = 0,
        stop: int | None = None,
        resume_if: str | None = None,
        skip_if: str | None = None,
    ) -> AsyncIterator[Answer]:
        """See :meth:`cxrsync.sources.base.Source.open`. The validator is mtime and size."""
        self.requests += 1
        root = self._root_of(ref.dataset, ref.version)
        if root is None:
            raise NotFound(f"there is no {ref.dataset} {ref.version} in {self.identity}")
        try:
            # O_NONBLOCK: opening a named pipe must not wait for a writer, and block the event loop.
            fd = os.open(root / ref.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"no such file: {root / ref.path}") from None
        except OSError as problem:
            raise InvalidResponse(f"cannot read {root / ref.path}: {reason_of(problem)}") from None
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
        return self._trees.versions(dataset)

    async def total(self, dataset: str, version: str) -> int | None:
        root = self._root_of(dataset, version)
        return None if root is None else await asyncio.to_thread(_size_of, root)

    async def close(self) -> None:
        """Do nothing: no connection is kept open."""

    def _root_of(self, dataset: str, version: str) -> Path | None:
        key = (dataset, version)
        if key not in self._roots:
            root = self._trees.root_of(dataset, version)
            if root is None:  # it may appear later
                return None
            self._roots[key] = root
        return self._roots[key]

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
                except OSError as problem:  # an error of this tree, not of the destination
                    raise InvalidResponse(f"cannot read further: {reason_of(problem)}") from None
                if not data:
                    raise InvalidResponse("the file became shorter while it was read")
                at += len(data)
                yield data

        modified = found.st_mtime if is_time(found.st_mtime) else None
        return Opened(start, found.st_size, validator, modified, chunks())


def _size_of(root: Path) -> int:
    size = 0
    for folder, _folders, names in os.walk(root):
        for name in names:
            with suppress(OSError):
                size += os.lstat(f"{folder}/{name}").st_size
    return size
