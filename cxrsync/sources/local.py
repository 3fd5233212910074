"""A tree on a local disk as a source: ``--from DIR``."""

from __future__ import annotations

import asyncio
import io
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol

import aiofiles.threadpool

from cxrsync.errors import InvalidResponse, NotFound, Unreachable
from cxrsync.model import MANIFEST_NAME, RemotePath, is_time
from cxrsync.sanitize import reason_of
from cxrsync.sources.base import Answer, Opened, PastEnd, Unchanged
from cxrsync.threads import run_in_thread

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
        if not os.path.isdir(folder):
            raise Unreachable(f"{folder}: no such folder")
        self._identity = Path(os.path.realpath(folder)).as_uri()
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
        path = self._path_of(ref)
        opened: list[int] = []
        try:
            try:
                # In a thread: a mount that does not answer must not stop the event loop.
                await run_in_thread(lambda: opened.append(_open_without_waiting(path)))
            except (FileNotFoundError, NotADirectoryError):
                raise NotFound(f"no such file: {path}") from None
            except OSError as problem:
                raise InvalidResponse(f"cannot read {path}: {reason_of(problem)}") from None
            found = os.fstat(opened[0])
            if not stat.S_ISREG(found.st_mode):
                raise NotFound(f"not a file: {path}")
            validator = f'"{found.st_mtime_ns:x}-{found.st_size:x}"'
            if validator == skip_if:
                yield Unchanged()
            elif start and resume_if not in {None, validator}:
                yield _opened(opened[0], 0, None, found)
            elif start and start >= found.st_size:
                yield PastEnd(found.st_size)
            else:
                yield _opened(opened[0], start, stop, found)
        finally:
            for fd in opened:
                os.close(fd)

    async def time_of(self, ref: RemotePath, size: int) -> float | None:
        """Return the modification time of a file, if it has this size; None if it is not there."""

        def look() -> float | None:
            try:
                found = os.stat(self._path_of(ref))
            except (OSError, NotFound):
                return None
            is_file = stat.S_ISREG(found.st_mode) and found.st_size == size
            return found.st_mtime if is_file and is_time(found.st_mtime) else None

        return await run_in_thread(look)

    async def versions(self, dataset: str) -> list[str]:
        return self._trees.versions(dataset)

    async def total(self, dataset: str, version: str) -> int | None:
        root = self._root_of(dataset, version)
        return None if root is None else await asyncio.to_thread(_size_of, root)

    async def close(self) -> None:
        """Do nothing: no connection is kept open."""

    def _path_of(self, ref: RemotePath) -> Path:
        root = self._root_of(ref.dataset, ref.version)
        if root is None:
            raise NotFound(f"there is no {ref.dataset} {ref.version} in {self.identity}")
        return root / ref.path

    def _root_of(self, dataset: str, version: str) -> Path | None:
        key = (dataset, version)
        if key not in self._roots:
            root = self._trees.root_of(dataset, version)
            if root is None:  # it may appear later
                return None
            self._roots[key] = root
        return self._roots[key]


class _NoTrees:
    def root_of(self, dataset: str, version: str) -> Path | None:  # noqa: ARG002
        return None

    def versions(self, dataset: str) -> list[str]:  # noqa: ARG002
        return []


class ManifestFile(LocalTree):
    """A Source: a file of this machine as the manifest of one dataset."""

    def __init__(self, file: Path, dataset: str) -> None:
        super().__init__(file.parent, _NoTrees())
        self._file = file
        self._dataset = dataset
        self._identity = file.as_uri()

    def _path_of(self, ref: RemotePath) -> Path:
        if (ref.dataset, ref.path) != (self._dataset, MANIFEST_NAME):
            raise NotFound(f"{self._file} is the manifest of {self._dataset}")
        return self._file


def _open_without_waiting(path: Path) -> int:
    # O_NONBLOCK: opening a named pipe must not wait for a writer.
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def _opened(fd: int, start: int, stop: int | None, found: os.stat_result) -> Opened:
    end = found.st_size if stop is None else min(stop, found.st_size)

    async def chunks() -> AsyncIterator[bytes]:
        os.lseek(fd, start, os.SEEK_SET)
        file = aiofiles.threadpool.wrap(io.FileIO(fd, closefd=False))
        left = end - start
        while left > 0:
            try:
                data = await file.read(min(_CHUNK, left))
            except OSError as problem:  # an error of this tree, not of the destination
                raise InvalidResponse(f"cannot read further: {reason_of(problem)}") from None
            if not data:
                raise InvalidResponse("the file became shorter while it was read")
            left -= len(data)
            yield data

    modified = found.st_mtime if is_time(found.st_mtime) else None
    validator = f'"{found.st_mtime_ns:x}-{found.st_size:x}"'
    return Opened(start, found.st_size, validator, modified, chunks())


def _size_of(root: Path) -> int:
    size = 0
    for folder, _folders, names in os.walk(root):
        for name in names:
            with suppress(OSError):
                size += os.lstat(f"{folder}/{name}").st_size
    return size
