"""What one run may still take: files and bytes (``--max-files``, ``--max-bytes``)."""

from __future__ import annotations

from cxrsync.errors import StoppedAtLimit

# With so many bytes left, or fewer, a file that has begun is finished.
SMALL_BYTES = 2 << 20


class Budget:
    """The files and bytes that a run has left. Everything that starts a file draws from it.

    ``max_files``: files that may be started; ``max_bytes``: bytes that may be received, whatever
    becomes of them; None: no limit. To be used in the event loop's thread.
    """

    def __init__(self, max_files: int | None = None, max_bytes: int | None = None) -> None:
        self.files_left = max_files
        self._bytes_left = max_bytes

    @property
    def bytes_are_spent(self) -> bool:
        """Whether no more bytes may be received, but for files that are almost finished."""
        return self._bytes_left is not None and self._bytes_left <= 0

    @property
    def is_spent(self) -> bool:
        """Whether no other file may be started."""
        return self.files_left == 0 or self.bytes_are_spent

    def take_file(self) -> bool:
        """Draw one file; return whether it may be started."""
        if self.is_spent:
            return False
        if self.files_left is not None:
            self.files_left -= 1
        return True

    def record_received(self, count: int) -> None:
        """Draw ``count`` bytes that have been received."""
        if self._bytes_left is not None:
            self._bytes_left -= count

    def stop(self, path: str, lacking: int | None) -> StoppedAtLimit | None:
        """Return the error of a file that must stop here, ``lacking`` so many bytes (None: it is
        unknown how many); None if it may go on."""
        if not self.bytes_are_spent or (lacking is not None and lacking <= SMALL_BYTES):
            return None
        return StoppedAtLimit(f"stopped at --max-bytes: {path} is not complete yet")
