"""The bytes of the disk that must stay free (``--keep-free``), at all times of a run.

What is free, less what the files in flight will still need, never falls below them. A run that
would break this ends as one whose disk is full (exit 7), not as one that has reached a limit (9):
the next run would end in the same place, until a person has made space.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from cxrsync import humanize
from cxrsync.errors import DiskError
from cxrsync.storage.disk_space import FreeSpace, free_space
from cxrsync.storage.filesystem import disk_failure
from cxrsync.threads import run_in_thread

# Other programs fill the disk, too: this is how old a measurement may be.
_MEASURE_SECONDS = 0.5
# The largest piece that a connection has received and not yet written.
_PIECE_BYTES = 512 << 10


class DiskGuard:
    """Reserves the bytes that files in flight will still need, and measures what is free.

    ``keep_free`` 0: nothing is measured. Usable from any thread.
    """

    def __init__(
        self,
        folder: Path,
        keep_free: int,
        measure: Callable[[Path], FreeSpace] = free_space,
    ) -> None:
        self._folder = folder
        self.keep_free = keep_free
        self._measure = measure
        self._lock = threading.Lock()
        self._reserved: dict[object, int] = {}
        self._free = 0
        self._measured_at: float | None = None

    def for_folder(self, folder: Path) -> DiskGuard:
        """A guard of the same rule for another folder, perhaps on another disk."""
        return DiskGuard(folder, self.keep_free, self._measure)

    def reserve(self, owner: object, count: int) -> None:
        """Let ``owner`` need ``count`` bytes from now on; 0: no more."""
        if not self.keep_free:
            return
        with self._lock:
            if count > 0:
                self._reserved[owner] = count
            else:
                self._reserved.pop(owner, None)

    def record_write(self, owner: object, count: int) -> None:
        """Note that ``owner`` has written ``count`` bytes: it needs fewer, and fewer are free."""
        if not self.keep_free:
            return
        with self._lock:
            self._free -= count
            if owner in self._reserved:
                self._reserved[owner] = max(0, self._reserved[owner] - count)

    async def admit(self, owner: object, lacking: int | None) -> None:
        """Reserve what ``owner`` lacks (None: unknown), and the piece that it has received and not
        yet written. Raises DiskError as :meth:`check`."""
        self.reserve(owner, (lacking or 0) + _PIECE_BYTES)
        await self.check()

    async def check(self) -> None:
        """Raise DiskError if what is reserved does not fit above what must stay free."""
        if not self.keep_free:
            return
        if self._is_stale():
            await run_in_thread(self.check_now)
        else:
            self.check_now()

    def check_now(self) -> None:
        """The same as :meth:`check`, in the caller's thread, which may wait for the disk."""
        if not self.keep_free:
            return
        with self._lock:
            if self._is_stale():
                # Before it is measured: what is written meanwhile counts twice, never not at all.
                self._measured_at = monotonic()
                self._free = self._measured()
            reserved = sum(self._reserved.values())
            if self._free - reserved >= self.keep_free:
                return
            self._measured_at = None
            free = self._free
        raise DiskError(
            f"{self._folder}: {humanize.size(max(0, free))} are free, and with the "
            f"{humanize.size(reserved)} of the files in flight less than --keep-free "
            f"{humanize.size(self.keep_free)} would stay free",
            next_step="Nothing that was downloaded is lost. Make space on this disk, or lower "
            "--keep-free, then run the same command again.",
        )

    @contextmanager
    def space_for(self, count: int) -> Iterator[None]:
        """Reserve ``count`` bytes while they are written in here. Raises DiskError."""
        owner = object()
        self.reserve(owner, count)
        try:
            self.check_now()
            yield
            self.record_write(owner, count)
        finally:
            self.reserve(owner, 0)

    def _is_stale(self) -> bool:
        measured_at = self._measured_at
        return measured_at is None or monotonic() - measured_at >= _MEASURE_SECONDS

    def _measured(self) -> int:
        try:
            return self._measure(self._folder).bytes
        except OSError as problem:
            raise disk_failure(problem, f"cannot tell how much is free in {self._folder}") from None
