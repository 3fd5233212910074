"""Find why files of a tree cannot be read, or cannot be published."""

from __future__ import annotations

from cxrsync.manifest.clashes import find_name_clashes
from cxrsync.manifest.file import ManifestFile
from cxrsync.model import FileStat
from cxrsync.plan.copies import Need
from cxrsync.sanitize import reason_of
from cxrsync.storage.filesystem import FolderInspector, other_mount_error, reading_error
from cxrsync.storage.tree import Tree


class Obstacles:
    """Finds the reasons, one file after the other. ``clashes``: the paths that are one name to the
    disk, each with the other path."""

    def __init__(self, manifest: ManifestFile, tree: Tree) -> None:
        self._tree = tree
        self._inspector = FolderInspector(tree.root)
        self.clashes = find_name_clashes(manifest.paths, tree.names) if any(tree.names) else {}

    def reason_for(self, path: str, found: FileStat | OSError | None, need: Need) -> str | None:
        """Return why the file cannot be read or published; None if nothing prevents it.

        Raises: DiskError for an error of the whole disk.
        """
        if need is Need.NOTHING and not self.clashes:
            return None
        reason = self._unreadable_reason(path, found)
        if reason is not None or need not in {Need.FETCH, Need.HASH}:
            return reason
        return self._unwritable_reason(path, need)

    def _unreadable_reason(self, path: str, found: FileStat | OSError | None) -> str | None:
        """Return why the file under the final name cannot be read. Raises: DiskError for an error
        of the whole disk."""
        if self.clashes and (other := self.clashes.get(path)):
            return f"this disk cannot tell its name from that of {other}: it can hold only one"
        if not isinstance(found, OSError):
            return None
        if error := reading_error(found, f"cannot look at {path}"):
            raise error
        reason = reason_of(found)
        return reason if isinstance(found, IsADirectoryError) else f"cannot look at it: {reason}"

    def _unwritable_reason(self, path: str, need: Need) -> str | None:
        """Return why no file can get this final name. Raises: DiskError if its folder is on another
        mount than the tree."""
        way = self._inspector.inspect(path)
        if way.obstacle or need is Need.HASH:
            return way.obstacle or None
        if way.mount:
            raise other_mount_error(self._tree.final(way.mount), str(self._tree.own))
        return f"nothing may be written in {way.unwritable}" if way.unwritable else None
