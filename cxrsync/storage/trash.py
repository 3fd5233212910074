"""The trash: files that are in the way are moved there. Only old folders of it are ever deleted."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cxrsync.clock import DAY, is_ahead, is_behind, stamp_of, time_of
from cxrsync.storage.partial import Partial
from cxrsync.storage.shared_names import take_names
from cxrsync.storage.tree import Tree

TRASH_FOLDER = "trash"
_STAMP = re.compile(r"[0-9]{8}T[0-9]{6}(?:\.[0-9]{1,6})?Z")
# Runs of one night, which have one clock, begin within so many seconds.
_NIGHT = DAY / 2


@dataclass(frozen=True, slots=True)
class TrashDates:
    """What a run knows about the dates of the trash's folders (POSIX times).

    ``now``: by the run's clock. ``runs``: when the earlier runs on the tree began, by theirs.
    """

    now: float
    runs: Sequence[float]

    def expired(self, names: Iterable[str], keep: float) -> list[str]:
        """Return the names of the folders that are older than ``keep`` seconds, sorted.

        The name of a folder says when its run began; any other name is not ours. The last run of
        an earlier night must have found so, too: a clock that is a year ahead for one night would
        empty the trash. A run of the future is no witness.
        """
        last = max((each for each in self.runs if each <= self.now - _NIGHT), default=None)
        if last is None:
            return []
        return sorted(
            name for name in names if (at := _date_of(name)) is not None and last - at > keep
        )

    def misdated(self, names: Iterable[str]) -> list[str]:
        """Return the names of the folders of the future, sorted; none if it is more likely that the
        present clock is wrong than that those of their runs were."""
        if not self.runs or is_behind(self.now, self.runs):
            return []
        return sorted(
            name for name in names if (at := _date_of(name)) is not None and is_ahead(at, self.now)
        )


def _date_of(stamp: str) -> float | None:
    with suppress(ValueError):  # the 31st of June
        return time_of(stamp) if _STAMP.fullmatch(stamp) else None
    return None


class Emptied(NamedTuple):
    """How many folders were deleted; which could not be; how many got a new date."""

    deleted: int = 0
    left: tuple[str, ...] = ()
    redated: int = 0


def empty_trash(tree: Tree, dates: TrashDates, keep: float, in_use: Collection[str]) -> Emptied:
    """Delete the folders of the trash that are older than ``keep`` seconds.

    A folder of the future gets the present date: else it would stay until then.

    ``in_use``: the stamps of the runs that work on the tree now, and may move files there.
    """
    trash = tree.own / TRASH_FOLDER
    try:
        if os.path.islink(trash):
            return Emptied()  # it leads out of the tree
        with os.scandir(trash) as found:
            names = [each.name for each in found if each.is_dir(follow_symlinks=False)]
    except OSError:
        return Emptied()
    names = [name for name in names if name not in in_use]
    deleted, left = 0, []
    for name in dates.expired(names, keep):
        shutil.rmtree(trash / name, ignore_errors=True)  # it follows no link
        if os.path.exists(trash / name):
            left.append(str(trash / name))
        else:
            deleted += 1
    redated = sum(_redate(trash, name, dates.now) for name in dates.misdated(names))
    return Emptied(deleted, tuple(left), redated)


def _redate(trash: Path, name: str, now: float) -> bool:
    """Give a folder the date ``now``; return whether that was possible."""
    while os.path.lexists(trash / stamp_of(now)):
        now += 1e-6
    try:
        os.rename(trash / name, trash / stamp_of(now))
    except OSError:
        return False
    return True


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
