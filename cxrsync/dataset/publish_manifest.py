"""Put a fetched manifest in place of the earlier one, unless it has lost too many of its lines.

The earlier manifest is kept under ``manifests/``. A manifest that lacks more than a tenth of the
earlier one's lines is refused: a server that lost them is likelier than a publisher who meant it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from cxrsync.dataset.context import RunContext
from cxrsync.dataset.local_manifest import manifests_folder, write_metadata
from cxrsync.dataset.manifest_losses import EarlierSlices, Losses, losses
from cxrsync.errors import DiskError, InvalidResponse, RefusedForSafety
from cxrsync.events import Notice
from cxrsync.manifest.file import ManifestFile, looks_like_manifest
from cxrsync.model import MANIFEST_NAME, Entry
from cxrsync.sanitize import reason_of
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.lock import Lock
from cxrsync.storage.partial import Partial
from cxrsync.storage.publish import VerifiedFile, publish


class ManifestPublisher:
    """Accepts or refuses what was fetched into ``partial``.

    ``earlier``: the slices that were here before this run asked for the manifest, if any.
    """

    def __init__(
        self, run: RunContext, lock: Lock, partial: Partial, earlier: EarlierSlices | None
    ) -> None:
        self._run = run
        self._tree = run.target.tree
        self._lock = lock
        self._partial = partial
        self._earlier = earlier

    def accept_slices(self, part: ManifestFile) -> None:
        """Compare new slices with the earlier ones, where they are another manifest's.

        Raises RefusedForSafety where too many lines are gone. The earlier slices are restored then,
        and ``part`` is closed.
        """
        if self._earlier is None or self._partial.generation == self._earlier.epoch:
            return
        lost = losses(self._earlier.entries(part.keys), _entries(part))
        if lost.too_many:
            part.close()
            raise self._refuse_slices(self._earlier, lost)
        if lost.count:
            self._run.emit(Notice(f"the new manifest does not list {lost} any more"))

    def publish(self) -> None:
        """Give the whole manifest its name. Blocks: call it in a thread.

        Raises InvalidResponse where it is no manifest, RefusedForSafety where too many lines are
        gone; DiskError, LockLost.
        """
        tree, partial = self._tree, self._partial
        version = partial.object_version
        assert version is not None
        self._check_content()
        lost = self._losses()
        digest = partial.digest()
        kept = manifests_folder(tree) / f"{self._run.stamp}-{MANIFEST_NAME}"

        def keep(_path: str) -> None:
            if sha256_file(str(tree.manifest)) != digest:
                _copy(tree.manifest, kept)

        self._lock.check()
        [found] = publish(tree, [VerifiedFile(Entry(MANIFEST_NAME, ""), partial)], keep)
        if isinstance(found, OSError):
            self._lock.check()
            raise DiskError(f"cannot put {tree.manifest} in place: {reason_of(found)}")
        write_metadata(tree, self._lock, version.source, version.validator, found, digest)
        if lost is not None and lost.count:
            earlier = f"; the earlier one is kept: {kept}" if kept.exists() else ""
            self._run.emit(Notice(f"the new manifest does not list {lost} any more{earlier}"))

    def _check_content(self) -> None:
        """Raise InvalidResponse for what is cut short, empty, or a page with status 200."""
        partial = self._partial
        if not partial.complete:
            partial.discard()
            raise InvalidResponse(f"{MANIFEST_NAME} did not arrive whole")
        if not partial.size or not looks_like_manifest(partial.path):
            if self._earlier is not None:
                self._earlier.restore(partial)
            else:
                partial.discard()
            raise InvalidResponse(f"what the server sends as {MANIFEST_NAME} is no manifest")

    def _losses(self) -> Losses | None:
        """The lines that the earlier manifest, or its slices, had and the new one has not.

        Raises RefusedForSafety where they are too many.
        """
        tree, partial = self._tree, self._partial
        if tree.find(MANIFEST_NAME) is not None:
            with (
                closing(ManifestFile(tree.manifest)) as old,
                closing(ManifestFile(partial.path)) as new,
            ):
                lost = losses(_entries(old), _entries(new))
            if lost.too_many:
                raise RefusedForSafety(
                    f"the server's {MANIFEST_NAME} has lost {lost}: the one that is here stays",
                    next_step=f"Compare it with the new one, {partial.unclaimed_path}. If the "
                    f"publisher did withdraw these files, move {tree.manifest} away, and run the "
                    "command again.",
                )
            return lost
        if self._earlier is None or partial.generation == self._earlier.epoch:
            return None
        with closing(ManifestFile(partial.path)) as new:
            lost = losses(self._earlier.entries(), _entries(new))
        if lost.too_many:
            raise self._refuse_slices(self._earlier, lost)
        return lost

    def _refuse_slices(self, earlier: EarlierSlices, lost: Losses) -> RefusedForSafety:
        """The error for lost lines. The earlier slices are restored."""
        earlier.restore(self._partial)
        return RefusedForSafety(
            f"the server's {MANIFEST_NAME} has lost {lost}: what is here of the earlier one stays",
            next_step=f"Look at it in a browser. If the publisher did withdraw these files, move "
            f"{self._partial.unclaimed_path} away, and run the command again.",
        )


def _entries(manifest: ManifestFile) -> Iterator[Entry]:
    return (entry for _offset, entry in manifest.entries())


def _copy(original: Path, copy: Path) -> None:
    """A copy that is on the disk, or none: half of it would pass for the whole."""
    try:
        shutil.copy2(original, copy)
        with copy.open("rb+") as file:
            os.fsync(file.fileno())
    except OSError:
        copy.unlink(missing_ok=True)
        raise
