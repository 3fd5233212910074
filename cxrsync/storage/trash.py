"""The trash: files that are in the way are moved there. Only old folders of it are ever deleted."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from cxrsync.storage.partial import Partial
from cxrsync.storage.shared_names import take_names
from cxrsync.storage.tree import Tree

TRASH_FOLDER = "trash"
_STAMP = re.compile(r"[0-9]{8}T[0-9]{6}(?:\.[0-9]{1,6})?Z")


def expired(names: Iterable[str], now: float, keep: float) -> list[str]:
    """Return the names of the trash's folders that are older than ``keep`` seconds, sorted.

    ``now``: POSIX time. The name of a folder says when its run began; any other name is not ours.
    """
    return sorted(name for name in names if (at := _time_of(name)) is not None and now - at > keep)


def _time_of(stamp: str) -> float | None:
    if not _STAMP.fullmatch(stamp):
        return None
    with suppress(ValueError):  # the 31st of June
        form = "%Y%m%dT%H%M%S.%fZ" if "." in stamp else "%Y%m%dT%H%M%SZ"
        return datetime.strptime(stamp, form).replace(tzinfo=UTC).timestamp()
    return None


def empty_trash(
    tree: Tree, now: float, keep: float, in_use: Collection[str]
) -> tuple[int, list[str]]:
    """Delete the folders of the trash that are older than ``keep`` seconds.

    ``in_use``: the stamps of the runs that work on the tree now, and may move files there. Returns
    how many folders were deleted, and the paths of those that could not be.
    """
    trash = tree.own / TRASH_FOLDER
    try:
        if trash.is_symlink():
            return 0, []  # it leads out of the tree
        with os.scandir(trash) as found:
            names = [each.name for each in found if each.is_dir(follow_symlinks=False)]
    except OSError:
        return 0, []
    deleted, left = 0, []
    for name in expired(names, now, keep):
        if name in in_use:
            continue
        shutil.rmtree(trash / name, ignore_errors=True)  # it follows no link
        if (trash / name).exists():
            left.append(str(trash / name))
        else:
            deleted += 1
    return deleted, left


class Trash:
    """``.cxrsync/trash/<UTC>/``: wrong and unwanted files are moved here. Nothing is deleted.

    ``check_lock`` raises LockLost if another run has the lock that guards a path.
    """

    def __init__(
        self, tree: Tree, stamp: str, check_lock: Callable[[str], None] = lambda _path: None
    ) -> None:
        self._tree = tree
        self.check_lock = check_lock
        self.folder = tree.own / TRASH_FOLDER / stamp

    def link_or_move(self, path: str) -> Path | None:
        """Give the file under the final name of ``path`` a second name in the trash, and return it.
        A rename can then replace the file in one step. Where no second name is possible, move the
        file and return None. Raises as :meth:`move`."""
        self._check(path)
        target = self._free_name(path)
        try:
            os.link(self._tree.final(path), target, follow_symlinks=False)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without hard links, or another user's file
            self.move(path)
            return None
        return target

    def move(self, path: str) -> None:
        """Move the file, or whatever else has the final name of ``path``, to the trash.

        Raises OSError for a folder, which may hold other files, and for a path that leads out of
        the tree: that file is not ours to move. Raises LockLost, DiskError.
        """
        self._check(path)
        final = Path(self._tree.final(path))
        target = self._free_name(path)
        take_names([(final, target)], lambda: self.check_lock(path))
        if not os.path.lexists(target):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(final))

    def move_partial(self, partial: Partial, path: str) -> None:
        """Move the bytes of a partial to the trash, and leave the partial empty."""
        os.rename(partial.path, self._free_name(path))
        partial.discard()

    def _check(self, path: str) -> None:
        self._tree.check_parent(path)
        self._tree.examine(path)

    def _free_name(self, path: str) -> Path:
        wanted = target = self.folder / path
        self._tree.make_parent(str(wanted.relative_to(self._tree.root)))
        number = 0
        while os.path.lexists(target):
            number += 1
            target = wanted.with_name(f"{wanted.name}.{number}")
        return target
