"""Bytes of one file that have arrived so far: written and hashed in one hand-over, never trusted.

A partial lies under ``.cxrsync/<partition>/partial/`` and bears the *expected* SHA-256 as its
name, so that it cannot be taken for another file's beginning. A small sidecar beside it keeps what
binds it to one object at one source: total size, validator, and, once it is fetched in segments,
which ranges are there. A partial of one stream needs no ranges: its frontier is its length.

While a run works on it, its name bears the token of the run's lock as well. A run that was taken
for dead and wakes up finds that name gone, and its open file is nobody's any more: see
:mod:`cxrsync.storage.leftovers`.

Everything here blocks; call it from a thread. One partial may be written by several connections
at a time, each its own segment.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

from cxrsync.errors import CxrsyncError
from cxrsync.storage import byte_ranges as sets
from cxrsync.storage.atomic_write import UNFINISHED, write_all, write_file
from cxrsync.storage.filesystem import FILE_MODE, FOLDER_MODE, may_open, regular_size
from cxrsync.storage.partial_names import Lease, claimed_name
from cxrsync.storage.shared_names import take
from cxrsync.storage.sidecar import (
    ObjectVersion,
    ranges_digest,
    read_partial_state,
    sidecar_json,
    sidecar_path,
)

# How much a kill may cost a segmented file, in bytes or seconds, whichever comes first.
SAVE_EVERY_BYTES = 1 << 20
SAVE_EVERY_SECONDS = 5.0
# Re-reading what was written out of order: small enough to keep the hand-over short.
_REREAD = 1 << 20
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
        self.path = (
            self.unclaimed_path if lease is None else folder / claimed_name(name, lease.token)
        )
        self._lock = threading.RLock()
        self._fd: int | None = None
        # Made by us just now: it has no other name, and no byte but ours.
        self.is_new = False
        self.object_version: ObjectVersion | None = None
        self.ranges: list[sets.Range] = []
        self.segmented = False
        self._has_sidecar = False
        self._bound_on_disk = False
        self._is_sealed = False
        self._unsaved = 0
        self._saved_at = 0.0
        self._hash = hashlib.sha256()
        self._hashed = 0
        self._digest: str | None = None
        self.generation = 0
        """How often the bytes were thrown away. Late bytes of an earlier generation are refused."""

    @property
    def _sidecar(self) -> Path:
        return sidecar_path(self.path)

    # ── what is there ──────────────────────────────────────────────────────────────────────────

    def load(self) -> None:
        """Take stock of what an earlier run left, and make it ours. Raises LockLost, DiskError."""
        if self._lease is not None and regular_size(self.path) is None:
            self._take_up(self._lease)
        length = regular_size(self.path)
        if length is None:
            # A kill between two steps can leave a sidecar alone: it must not speak of other bytes.
            self._sidecar.unlink(missing_ok=True)
            return
        stock = read_partial_state(length, self._sidecar, digest_known=self._digest_known)
        self.ranges = stock.ranges
        self.object_version = stock.object_version
        self.segmented = stock.segmented
        self._has_sidecar = stock.has_sidecar
        self._bound_on_disk = stock.is_bound
        self._is_sealed = stock.is_sealed

    @property
    def size(self) -> int:
        """How many bytes are there."""
        return sets.size(self.ranges)

    @property
    def total(self) -> int | None:
        """The size of the whole file in bytes, as far as it is known."""
        return None if self.object_version is None else self.object_version.total

    @property
    def complete(self) -> bool:
        """Whether every byte of a known total is there, and no other. Says nothing of their being
        right."""
        return self.total is not None and sets.is_whole(self.ranges, self.total)

    # ── bytes in ───────────────────────────────────────────────────────────────────────────────

    def bind(self, binding: ObjectVersion) -> None:
        """Tie the bytes to the object they come from. Written to disk only when it can matter:
        a small file that arrives in one hand-over never needs a sidecar."""
        with self._lock:
            if binding != self.object_version:
                self.object_version = binding
                self._bound_on_disk = False

    def split(self) -> None:
        """From now on bytes come out of order: note which are there before the first of them."""
        with self._lock:
            if not self.segmented:
                self.segmented = True
                self._save()

    def write(self, offset: int, chunks: Sequence[bytes], generation: int) -> bool:
        """Write ``chunks`` at ``offset`` and hash what continues the frontier.

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
                self._lease.check()  # whoever took over has unlinked it
            raise

    def read(self, start: int, stop: int) -> bytes:
        """The bytes ``[start, stop)``, which must be there."""
        with self._lock:
            return os.pread(self._open(), stop - start, start)

    @property
    def hashed(self) -> bool:
        """Whether the digest is at hand without reading anything again."""
        return self._digest is not None

    def digest(self) -> str:
        """The SHA-256 (lower hex) of all bytes without a gap from 0; re-reads a resumed prefix.

        Whatever lies behind a gap is given up: what was not hashed must not be published.
        """
        with self._lock:
            if self._digest is None:
                fd = self._open()
                self._catch_up(None)
                if os.fstat(fd).st_size > self._hashed:
                    os.ftruncate(fd, self._hashed)
                    self._keep_to(self._hashed)
                self._digest = self._hash.hexdigest()
            return self._digest

    def discard(self) -> None:
        """Throw every byte away. A new file takes the place of the old: ext4 flushes one that is
        cut to nothing, and that stalls the line."""
        with self._lock:
            with suppress(OSError):  # it has nothing to say of what is thrown away
                self.close()
            for path in (self.path, self._sidecar):
                path.unlink(missing_ok=True)
            self.generation += 1
            self.is_new = False
            self._digest = None
            self.object_version = None
            self.ranges = []
            self.segmented = False
            self._has_sidecar = False
            self._bound_on_disk = False
            self._is_sealed = False
            self._hash = hashlib.sha256()
            self._hashed = 0

    # ── at the end ─────────────────────────────────────────────────────────────────────────────

    def fileno(self) -> int:
        """The open file, for whoever publishes it."""
        with self._lock:
            return self._open()

    def save(self) -> None:
        """Write down which segments are there; a stream's frontier needs no writing down."""
        with self._lock:
            is_new = self._unsaved or not (self._digest_known or self._is_sealed)
            if self.segmented and is_new and self.ranges and self._is_ours():
                self._save(at_end=True)

    def forget_sidecar(self) -> None:
        """The file was published: its sidecar has served, and nothing is left to save."""
        with self._lock:
            self._unsaved = 0
            self._is_sealed = True
            if self._has_sidecar:
                self._has_sidecar = False
                self._sidecar.unlink(missing_ok=True)

    def close(self) -> None:
        """Let the file go; what is on the disk stays."""
        with self._lock:
            fd, self._fd = self._fd, None  # gone, even where the close fails
            if fd is not None:
                os.close(fd)

    # ── inside ─────────────────────────────────────────────────────────────────────────────────

    def _take_up(self, lease: Lease) -> None:
        """Give what lies at rest the name that it has at work. Raises LockLost, DiskError."""
        # Another user's, which we may not open, keeps its name; we begin anew under our own.
        if regular_size(self.unclaimed_path) is not None and may_open(self.unclaimed_path):
            sidecar = sidecar_path(self.unclaimed_path)
            take([(sidecar, self._sidecar), (self.unclaimed_path, self.path)], lease.check)

    def _is_ours(self) -> bool:
        try:
            if self._lease is not None:
                self._lease.guard()
        except CxrsyncError:
            return False
        return True

    def _write(self, offset: int, chunks: Sequence[bytes]) -> bool:
        length = sum(map(len, chunks))
        after = sets.add(self.ranges, offset, offset + length)
        self._digest = None
        if offset > sets.frontier(self.ranges) or not self._digest_known:
            self.split()
        if offset < self._hashed:
            self._hash = hashlib.sha256()  # the digest is that of the bytes on the disk
            self._hashed = 0
        if not self._bound_on_disk and (self._has_sidecar or sets.size(after) != self.total):
            self._save()
        fd = self._open_to_write()
        is_new, self.is_new = self.is_new, False  # a write that fails may leave anything
        write_all(fd, chunks, offset)
        self.is_new = is_new
        self.ranges = after
        if offset == self._hashed:
            for chunk in chunks:
                self._hash.update(chunk)
            self._hashed += length
        self._catch_up(_REREAD_A_WRITE)
        if self.segmented:
            self._unsaved += length
            late = monotonic() - self._saved_at >= SAVE_EVERY_SECONDS
            if self._unsaved >= SAVE_EVERY_BYTES or late:
                self._save()
        if self.complete and self._hashed == self.size:
            self.digest()  # here, in the thread that writes
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
                    raise  # what was there is not there any more: no hole must stand for it
                self._make_folder()
                self._fd = os.open(self.path, flags, FILE_MODE)
            except FileExistsError:
                # Whatever lies there is not ours to go on with, nor to cut: it may be a link.
                self.path.unlink()
                self._fd = os.open(self.path, flags, FILE_MODE)
            self.is_new = bool(flags & os.O_EXCL)
        return self._fd

    def _make_folder(self) -> None:
        # Not those above it: where they are gone the tree was moved away, or unmounted.
        with suppress(FileExistsError):
            os.mkdir(self.path.parent, FOLDER_MODE)

    def _open_to_write(self) -> int:
        """Bytes that another name has too (``cp -al``) are not ours to change: a copy is."""
        fd = self._open()
        if not self.is_new and os.fstat(fd).st_nlink > 1:
            self.close()
            fresh = self.path.with_name(self.path.name + UNFINISHED)
            fresh.unlink(missing_ok=True)
            shutil.copyfile(self.path, fresh)
            os.replace(fresh, self.path)
            fd = self._open()
        return fd

    def _catch_up(self, most: int | None) -> None:
        """Hash on towards the frontier from the disk, ``most`` bytes of it."""
        target = sets.frontier(self.ranges)
        if most is not None:
            target = min(target, self._hashed + most)
        while self._hashed < target:
            data = os.pread(self._open(), min(_REREAD, target - self._hashed), self._hashed)
            if not data:
                # Shorter than the ranges say (a damaged disk): what is missing is missing.
                self._keep_to(self._hashed)
                return
            self._hash.update(data)
            self._hashed += len(data)

    def _keep_to(self, stop: int) -> None:
        kept = sets.normal(self.ranges, stop)
        if kept != self.ranges:
            self.ranges = kept
            self._bound_on_disk = False  # it claims too much by now

    def _digest_of_ranges(self, *, at_end: bool) -> str | None:
        """What shows at the next run that the disk changed no byte, where no published digest can.

        The bytes of a stream are hashed already. Those of slices are read again, as long as they
        are few; of many the digest is taken only once, at the end: a kill may leave them without.
        """
        if self._digest_known or not self.ranges:
            return None
        if self.ranges == [(0, self._hashed)]:
            return self._hash.copy().hexdigest()
        few = self.size <= _MAX_DIGEST_BYTES
        return ranges_digest(self.path, self.ranges) if few or at_end else None

    def _save(self, *, at_end: bool = False) -> None:
        if self.segmented:
            # The ranges must never claim bytes that a power cut can take back.
            try:
                os.fdatasync(self._open())
            except OSError:
                self.discard()  # the kernel may have let go of any of it, and shows it all the same
                raise
        digest = self._digest_of_ranges(at_end=at_end)
        words = sidecar_json(self.object_version, self.ranges if self.segmented else None, digest)
        self._make_folder()
        write_file(self._sidecar, words, fsync=self.segmented)
        self._has_sidecar = True
        self._bound_on_disk = True
        self._is_sealed = digest is not None
        self._unsaved = 0
        self._saved_at = monotonic()
