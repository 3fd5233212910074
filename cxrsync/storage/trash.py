"""What stands in the way of a file is moved here, never deleted."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from cxrsync.storage.partial import Partial
from cxrsync.storage.shared_names import take_names
from cxrsync.storage.tree import Tree


class Trash:
    """``.cxrsync/trash/<UTC>/``: where a wrong or unwanted file goes; nothing is ever deleted.

    ``check_lock``: raises LockLost where the lock that guards a path is another's by now.
    """

    def __init__(
        self, tree: Tree, stamp: str, check_lock: Callable[[str], None] = lambda _path: None
    ) -> None:
        self._tree = tree
        self.check_lock = check_lock
        self.folder = tree.own / "trash" / stamp

    def link_or_move(self, path: str) -> Path | None:
        """Give what stands under the final name of ``path`` a second name here, if it can have one:
        then a rename takes its place from one moment to the next. Else it is moved, and None
        returned. Raises as :meth:`take`."""
        self._check(path)
        target = self._room_for(path)
        try:
            os.link(self._tree.final(path), target, follow_symlinks=False)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without links, or somebody else's file
            self.move(path)
            return None
        return target

    def move(self, path: str) -> None:
        """Move the file, or whatever else stands under the final name of ``path``, aside.

        Raises OSError for a folder, which may hold other files, and where the path leads out of
        the tree: then it is not ours to move. Raises LockLost, DiskError.
        """
        self._check(path)
        final = Path(self._tree.final(path))
        target = self._room_for(path)
        take_names([(final, target)], lambda: self.check_lock(path))
        if not os.path.lexists(target):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(final))

    def move_partial(self, partial: Partial, path: str) -> None:
        """Move the bytes of a partial aside, and leave the partial empty."""
        os.rename(partial.path, self._room_for(path))
        partial.discard()

    def _check(self, path: str) -> None:
        self._tree.check_parent(path)
        self._tree.examine(path)

    def _room_for(self, path: str) -> Path:
        wanted = target = self.folder / path
        self._tree.make_parent(str(wanted.relative_to(self._tree.root)))
        number = 0
        while os.path.lexists(target):
            number += 1
            target = wanted.with_name(f"{wanted.name}.{number}")
        return target
