"""The bytes of one file received so far: written and hashed in one call, never trusted.

A partial lies in ``.cxrsync/<partition>/partial/``. Its name is the *expected* SHA-256, so that it
cannot be taken for the beginning of another file. A small sidecar beside it names the object at the
source that the bytes belong to (total size, validator). Once the file is fetched in segments, the
sidecar also lists the ranges that are on the disk. A partial of one stream needs no ranges: its
length says how far it came.

While a run works on a partial, the name also holds the token of the run's lock: the run has
*claimed* it. A run that was taken for dead and wakes up does not find that name any more, and its
open file has lost its name: see :mod:`cxrsync.storage.leftovers`.

Every call blocks: make it in a thread. Connections may write to segments of one partial at once.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

from cxrsync.errors import CxrsyncError
from cxrsync.model import Chunk
from cxrsync.storage import byte_ranges
from cxrsync.storage.atomic_write import UNFINISHED, sync_data, write_all, write_file
from cxrsync.storage.filesystem import FILE_MODE, FOLDER_MODE, may_open, regular_size
from cxrsync.storage.partial_names import Lease, claimed_name
from cxrsync.storage.prefix_hash import PrefixHash, ranges_digest
from cxrsync.storage.shared_names import take_names
from cxrsync.storage.sidecar import ObjectVersion, read_partial_state, sidecar_json, sidecar_path

# What a kill may cost a segmented file, in bytes or seconds, whichever comes first.
SAVE_EVERY_BYTES = 1 << 20
SAVE_EVERY_SECONDS = 5.0
# How much of the bytes that were written out of order one write reads again, to hash them.
_REREAD_A_WRITE = 4 << 20
# Up to so many bytes are read again for their digest each time that their ranges are saved.
_MAX_DIGEST_BYTES = 16 << 20


class Partial:
    """The bytes so far of the file whose digest is ``name``, in ``folder``.

    ``digest_known`` False: no published digest can prove these bytes, as for a manifest. Then only
    bytes that are certainly on the disk are reused: a power cut may have zeroed bytes that were not
    synced. ``lease``: the lock that guards the partial; None where no other run can use it.
    """

    def __init__(
        self, folder: Path, name: str, *, digest_known: bool = True, lease: Lease | None = None
    ) -> None:
        self._digest_known = digest_known
        self._lease = lease
        self.unclaimed_path = folder / name
        self.path = folder / (name if lease is None else claimed_name(name, lease.token))
        self._lock = threading.RLock()
        self._fd: int | None = None
        self._unsaved = 0
        self._saved_at = 0.0
        self.generation = 0
        """How often the bytes were thrown away. Late bytes of an earlier generation are refused."""
        self._forget()

    def _forget(self) -> None:
        # Whether this object just made the file: it has no other name, and no byte but ours.
        self.is_new = False
        self.object_version: ObjectVersion | None = None
        self.ranges: list[byte_ranges.Range] = []
        self.segmented = False
        self._has_sidecar = False
        self._sidecar_is_current = False
        self._sidecar_has_digest = False
        self._prefix = PrefixHash()
        self._digest: str | None = None

    @property
    def _sidecar(self) -> Path:
        return sidecar_path(self.path)

    # ── what is on the disk ────────────────────────────────────────────────────────────────────

    def load(self) -> None:
        """Read what an earlier run left, and claim it. Raises OSError, LockLost, DiskError."""
        if self._lease is not None and regular_size(self.path) is None:
            self._claim(self._lease)
        length = regular_size(self.path)
        if length is None:
            # A kill between two steps can leave a sidecar alone. It must not describe other bytes.
            self._sidecar.unlink(missing_ok=True)
            return
        found = read_partial_state(length, self._sidecar, digest_known=self._digest_known)
        self.ranges = found.ranges
        self.object_version = found.object_version
        self.segmented = found.segmented
        self._has_sidecar = found.has_sidecar
        self._sidecar_is_current = found.is_current
        self._sidecar_has_digest = found.has_digest

    @property
    def size(self) -> int:
        """How many bytes are on the disk."""
        return byte_ranges.size(self.ranges)

    @property
    def total(self) -> int | None:
        """The size of the whole file in bytes, if it is known."""
        return None if self.object_version is None else self.object_version.total

    @property
    def complete(self) -> bool:
        """Whether the file holds exactly the bytes of a known total. They may still be wrong."""
        return self.total is not None and byte_ranges.is_whole(self.ranges, self.total)

    # ── writing ────────────────────────────────────────────────────────────────────────────────

    def bind(self, object_version: ObjectVersion) -> None:
        """Note which object at the source the bytes come from. The sidecar is written only when it
        can matter: a small file that arrives in one write never needs one."""
        with self._lock:
            if object_version != self.object_version:
                self.object_version = object_version
                self._sidecar_is_current = False

    def split(self) -> None:
        """Prepare for bytes out of order: save the ranges before the first of them comes."""
        with self._lock:
            if not self.segmented:
                self.segmented = True
                self._save()

    def write(self, offset: int, chunks: Sequence[Chunk], generation: int) -> bool:
        """Write ``chunks`` at ``offset``, and hash those that continue the hashed prefix.

        Return False and write nothing if the bytes of ``generation`` were thrown away meanwhile.
        Raises OSError, LockLost, DiskError.
        """
        if self._lease is not None:
            self._lease.guard()
        try:
            with self._lock:
                return generation == self.generation and self._write(offset, chunks)
        except FileNotFoundError:
            if self._lease is not None:
                self._lease.check()  # the run that took over unlinked the file
            raise

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes ``[start, stop)``, which must be on the disk."""
        with self._lock:
            return os.pread(self._open(), stop - start, start)

    @property
    def hashed(self) -> bool:
        """Whether the digest is known without reading anything again."""
        return self._digest is not None

    def digest(self) -> str:
        """Return the SHA-256 (lower hex) of all bytes from 0 to the first gap. Reads a resumed
        prefix again.

        Bytes behind a gap are cut off: bytes that were not hashed must not be published.
        """
        with self._lock:
            if self._digest is None:
                fd = self._open()
                self._catch_up(None)
                if os.fstat(fd).st_size > self._prefix.size:
                    os.ftruncate(fd, self._prefix.size)
                    self._keep_to(self._prefix.size)
                self._digest = self._prefix.hexdigest()
            return self._digest

    def discard(self) -> None:
        """Throw every byte away, and begin a new file. The old one is not truncated: ext4 flushes
        a file that is truncated to 0, and the connection would stall."""
        with self._lock:
            with suppress(OSError):  # errors of bytes that are thrown away do not matter
                self.close()
            for path in (self.path, self._sidecar):
                path.unlink(missing_ok=True)
            self.generation += 1
            self._forget()

    # ── at the end ─────────────────────────────────────────────────────────────────────────────

    def fileno(self) -> int:
        """Return the open file, for the publisher, which writes no byte. Raises OSError."""
        with self._lock, suppress(PermissionError):  # a hard link to a file of mode 0440
            return self._open()
        self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        return self._fd

    def save(self) -> None:
        """Write the ranges of a segmented file to its sidecar. A stream needs no such record."""
        with self._lock:
            is_new = self._unsaved or not (self._digest_known or self._sidecar_has_digest)
            if self.segmented and is_new and self.ranges and self._is_guarded():
                self._save(at_end=True)

    def forget_sidecar(self) -> None:
        """Remove the sidecar of a file that was published. Nothing is left to save."""
        with self._lock:
            self._unsaved = 0
            self._sidecar_has_digest = True
            if self._has_sidecar:
                self._has_sidecar = False
                self._sidecar.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file. What is on the disk stays. Raises OSError."""
        with self._lock:
            fd, self._fd = self._fd, None  # closed, even where close() fails
            if fd is not None:
                os.close(fd)

    # ── inside ─────────────────────────────────────────────────────────────────────────────────

    def _claim(self, lease: Lease) -> None:
        """Rename an unclaimed partial to our claimed name. Raises OSError, LockLost, DiskError."""
        # A partial of another user that we may not open keeps its name. We begin a file of our own.
        if regular_size(self.unclaimed_path) is not None and may_open(self.unclaimed_path):
            sidecar = sidecar_path(self.unclaimed_path)
            take_names([(sidecar, self._sidecar), (self.unclaimed_path, self.path)], lease.check)

    def _is_guarded(self) -> bool:
        try:
            if self._lease is not None:
                self._lease.guard()
        except CxrsyncError:
            return False
        return True

    def _write(self, offset: int, chunks: Sequence[Chunk]) -> bool:
        length = sum(map(len, chunks))
        after = byte_ranges.add(self.ranges, offset, offset + length)
        self._digest = None
        if offset > byte_ranges.frontier(self.ranges) or not self._digest_known:
            self.split()
        if offset < self._prefix.size:
            self._prefix = PrefixHash()  # hash again: the digest is that of the bytes on the disk
        is_whole = byte_ranges.size(after) == self.total
        if not self._sidecar_is_current and (self._has_sidecar or not is_whole):
            self._save()
        fd = self._open_to_write()
        is_new, self.is_new = self.is_new, False  # a write that fails may leave anything
        write_all(fd, chunks, offset)
        self.is_new = is_new
        self.ranges = after
        if offset == self._prefix.size:
            self._prefix.add(chunks)
        self._catch_up(_REREAD_A_WRITE)
        if self.segmented:
            self._unsaved += length
            late = monotonic() - self._saved_at >= SAVE_EVERY_SECONDS
            if self._unsaved >= SAVE_EVERY_BYTES or late:
                self._save()
        if self.complete and self._prefix.size == self.size:
            self.digest()  # now, in the thread that writes
        return True

    def _open(self) -> int:
        if self._fd is None:
            flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
            if not self.ranges:
                flags |= os.O_CREAT | os.O_EXCL
            try:
                self._fd = os.open(self.path, flags, FILE_MODE)
            except FileNotFoundError:
                if self.ranges:
                    raise  # the bytes are gone: a new file would have a hole in their place
                self._make_folder()
                self._fd = os.open(self.path, flags, FILE_MODE)
            except FileExistsError:
                # Never write to or truncate what is there: it may be a link.
                self.path.unlink()
                self._fd = os.open(self.path, flags, FILE_MODE)
            self.is_new = bool(flags & os.O_EXCL)
        return self._fd

    def _make_folder(self) -> None:
        # Not its parents: if they are gone, the tree was moved away or unmounted.
        with suppress(FileExistsError):
            os.mkdir(self.path.parent, FOLDER_MODE)

    def _open_to_write(self) -> int:
        """Open the file to change it. A file with another name (``cp -al``) is copied first: its
        bytes belong to that name, too."""
        fd = self._open()
        if not self.is_new and os.fstat(fd).st_nlink > 1:
            self.close()
            fresh = self.path.with_name(self.path.name + UNFINISHED)
            fresh.unlink(missing_ok=True)
            shutil.copyfile(self.path, fresh)
            os.replace(fresh, self.path)
            fd = self._open()
        return fd

    def _catch_up(self, limit: int | None) -> None:
        """Hash bytes from the disk up to the first gap, at most ``limit`` of them."""
        stop = byte_ranges.frontier(self.ranges)
        if limit is not None:
            stop = min(stop, self._prefix.size + limit)
        if stop > self._prefix.size and not self._prefix.catch_up(self._open(), stop):
            # The file is shorter than its ranges say (a damaged disk): the rest is missing.
            self._keep_to(self._prefix.size)

    def _keep_to(self, stop: int) -> None:
        kept = byte_ranges.normal(self.ranges, stop)
        if kept != self.ranges:
            self.ranges = kept
            self._sidecar_is_current = False  # it lists more than there is

    def _digest_of_ranges(self, *, at_end: bool) -> str | None:
        """Return the digest that shows the next run whether the disk changed a byte, or None where
        the published digest can show that.

        The bytes of a stream are hashed already. Those of slices are read again, as long as they
        are few. The digest of many is taken only at the end, so a kill may leave them without one.
        """
        if self._digest_known or not self.ranges:
            return None
        if self.ranges == [(0, self._prefix.size)]:
            return self._prefix.hexdigest()
        few = self.size <= _MAX_DIGEST_BYTES
        return ranges_digest(self.path, self.ranges) if few or at_end else None

    def _save(self, *, at_end: bool = False) -> None:
        if self.segmented:
            # The sidecar must never list bytes that a power cut can take back.
            try:
                sync_data(self._open())
            except OSError:
                # The kernel may have dropped any of the bytes, and still show them.
                self.discard()
                raise
        ranges = self.ranges if self.segmented else None
        digest = self._digest_of_ranges(at_end=at_end)
        self._make_folder()
        text = sidecar_json(self.object_version, ranges, digest)
        write_file(self._sidecar, text, fsync=self.segmented)
        self._has_sidecar = True
        self._sidecar_is_current = True
        self._sidecar_has_digest = digest is not None
        self._unsaved = 0
        self._saved_at = monotonic()
