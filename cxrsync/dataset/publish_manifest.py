"""Replace the earlier manifest with the new one, unless the new one has lost too many lines.

The earlier manifest is kept in ``manifests/``. A manifest that lacks more than a tenth of the
earlier lines is refused: a fault of the server is more likely than so many withdrawn files. So is
one that is not sorted although the earlier one was: parts of it may be missing or of another file.

A refused manifest changes nothing. Each run refuses it again, until a person moves the earlier one
to ``manifests/``, as the error says: then the new one is the first of the tree, and is accepted.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from cxrsync.dataset.local_manifest import manifests_folder, write_metadata
from cxrsync.dataset.lost_entries import EarlierSlices, Losses, find_losses
from cxrsync.dataset.run_context import RunContext
from cxrsync.errors import InvalidResponse, RefusedForSafety
from cxrsync.events import Notice
from cxrsync.manifest.file import ManifestFile, looks_like_manifest
from cxrsync.model import MANIFEST_NAME, Entry
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.filesystem import disk_failure
from cxrsync.storage.lock import Lock
from cxrsync.storage.partial import Partial
from cxrsync.storage.publish import VerifiedFile, publish
from cxrsync.storage.sidecar import ObjectVersion

_UNSORTED = "is not sorted any more, as the earlier one was"


class ManifestPublisher:
    """Accept or refuse the manifest that was fetched into ``partial``.

    ``earlier``: the slices that the partial held before this run, None if it held none.
    """

    def __init__(
        self, run: RunContext, lock: Lock, partial: Partial, earlier: EarlierSlices | None
    ) -> None:
        self._run = run
        self._tree = run.target.tree
        self._lock = lock
        self._partial = partial
        self._earlier = earlier

    def accept_slices(self, slices: ManifestFile) -> None:
        """Compare the new slices with the earlier ones, if the manifest has changed in between.

        Raises: RefusedForSafety if too many lines are lost. In that case the earlier slices are
        restored, and ``slices`` is closed.
        """
        if self._earlier is None or self._partial.generation == self._earlier.generation:
            return
        lost = find_losses(self._earlier.entries(slices.keys), _entries(slices))
        if lost.too_many:
            slices.close()
            raise self._refuse_slices(self._earlier, f"has lost {lost}")
        if lost.count:
            self._run.emit(Notice(f"the new manifest no longer lists {lost}"))

    def publish(self) -> None:
        """Give the whole manifest its final name. Blocks: call it in a thread.

        Raises: InvalidResponse if the file is not a manifest, RefusedForSafety if too many lines
        are lost, or if it is not sorted any more; DiskError, LockLost.
        """
        tree, partial = self._tree, self._partial
        version = partial.object_version
        assert version is not None
        self._check_content()
        lost = self._losses()
        digest = partial.digest()
        backup = self._backup

        def keep(_path: str) -> None:
            if sha256_file(str(tree.manifest)) != digest:
                _copy(tree.manifest, backup)
                tree.share(backup)

        self._keep_time(version, digest)
        self._lock.check()
        [found] = publish(tree, [VerifiedFile(Entry(MANIFEST_NAME, ""), partial)], keep)
        if isinstance(found, OSError):
            self._lock.check()
            raise disk_failure(found, f"cannot put {tree.manifest} in place")
        write_metadata(tree, self._lock, version.source, version.validator, found, digest)
        if lost is not None and lost.count:
            earlier = f"; the earlier one is kept as {backup}" if os.path.exists(backup) else ""
            self._run.emit(Notice(f"the new manifest no longer lists {lost}{earlier}"))

    def _keep_time(self, version: ObjectVersion, digest: str) -> None:
        """Keep the time of the local manifest, if a store has the same one: it tells only the time
        of its copy."""
        stores, tree = map(str, self._run.job.origin.stores), self._tree
        found = tree.find(MANIFEST_NAME)
        if found is None or not any(map(version.source.startswith, stores)):
            return
        if sha256_file(str(tree.manifest)) == digest:
            self._partial.bind(replace(version, modified=found.mtime_ns / 1e9))

    def _check_content(self) -> None:
        """Raise InvalidResponse for a manifest that is cut short or empty, or for an HTML page that
        the server sent with status 200."""
        partial = self._partial
        if not partial.complete:
            partial.discard()
            raise InvalidResponse(f"{MANIFEST_NAME} did not arrive complete")
        if not partial.size or not looks_like_manifest(partial.path):
            if self._earlier is not None:
                self._earlier.restore(partial)
            else:
                partial.discard()
            raise InvalidResponse(
                f"what the server sends as {MANIFEST_NAME} is not a manifest",
                next_step="A page of a proxy, a sign-in or a site under repair may come in its "
                "place: open its address in a browser, and run the command again later. "
                "What is here stays.",
            )

    @property
    def _backup(self) -> Path:
        """The name under which the earlier manifest is kept."""
        return manifests_folder(self._tree) / f"{self._run.stamp}-{MANIFEST_NAME}"

    def _losses(self) -> Losses | None:
        """Return the lines of the earlier manifest, or of its slices, that the new one lacks.

        Raises: RefusedForSafety if they are too many, or if the new one is not sorted any more.
        """
        tree, partial = self._tree, self._partial
        if tree.find(MANIFEST_NAME) is not None:
            with (
                closing(ManifestFile(tree.manifest)) as old,
                closing(ManifestFile(partial.path)) as new,
            ):
                lost = find_losses(_entries(old), _entries(new))
                if old.is_sorted and not new.is_sorted:
                    raise self._refuse(_UNSORTED)
            if lost.too_many:
                raise self._refuse(f"has lost {lost}")
            return lost
        if self._earlier is None or partial.generation == self._earlier.generation:
            return None
        with closing(ManifestFile(partial.path)) as new:
            lost = find_losses(self._earlier.entries(), _entries(new))
            is_sorted = new.is_sorted
        if lost.too_many or not is_sorted:  # only a sorted manifest is read in slices
            raise self._refuse_slices(self._earlier, f"has lost {lost}" if is_sorted else _UNSORTED)
        return lost

    def _refuse(self, what: str) -> RefusedForSafety:
        """Return the error for a new manifest that does not replace the local one."""
        tree = self._tree
        accept = f"mv {shlex.quote(str(tree.manifest))} {shlex.quote(str(self._backup))}"
        return RefusedForSafety(
            f"the server's {MANIFEST_NAME} {what}: the local one is kept, and nothing was changed",
            next_step=f"Compare it with the new one, {self._partial.unclaimed_path}. If the "
            f"publisher means the new one, accept it, and run the command again: {accept}",
        )

    def _refuse_slices(self, earlier: EarlierSlices, what: str) -> RefusedForSafety:
        """Restore the earlier slices, and return the error for the new manifest."""
        earlier.restore(self._partial)
        return RefusedForSafety(
            f"the server's {MANIFEST_NAME} {what}: the local part of the earlier one is kept, and "
            "nothing was changed",
            next_step=f"Look at it in a browser. If the publisher means it, move "
            f"{self._partial.unclaimed_path} away and run the command again.",
        )


def _entries(manifest: ManifestFile) -> Iterator[Entry]:
    return (entry for _offset, entry in manifest.entries())


def _copy(original: Path, copy: Path) -> None:
    """Copy a file and force the copy to the disk; after an error remove the copy, because half of
    a manifest looks like a whole one."""
    try:
        shutil.copy2(original, copy)
        with copy.open("rb+") as file:
            os.fsync(file.fileno())
    except OSError:
        copy.unlink(missing_ok=True)
        raise
