"""What the file system below a tree does with names: where they lead, what a rename reaches."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

from cxrsync.model import NameRules
from cxrsync.sanitize import reason_of


class Way(NamedTuple):
    """Where the folders of a path lead.

    ``obstacle`` says why nothing may be put or changed there, and is empty where it may; ``mount``
    is the folder, if there is one, where another file system than the root's begins; ``closed`` the
    one where whatever is not there yet would have to be made, if we may not write in it.
    """

    there: bool = True
    obstacle: str = ""
    mount: str = ""
    closed: str = ""


_NO_SUCH_NAMES = {errno.EILSEQ, errno.EINVAL, errno.ENOENT}
_BY_EFFECTIVE_ID = os.access in os.supports_effective_ids


class Ways:
    """The folders on the way to the files of a tree; each is looked at once while paths come in
    order.

    A link is an obstacle, wherever it leads: what lies behind it is somebody else's to arrange.
    """

    def __init__(self, root: Path) -> None:
        self._root = f"{root}/"
        self._device = os.stat(root).st_dev
        self._folder = ""
        self._names: list[str] = []
        # Of the root, and of each folder of the last path below it.
        self._ways = [Way(closed=self._closed(""))]

    def to(self, path: str) -> Way:
        """The way to the file at ``path``."""
        folder = path.rpartition("/")[0]
        if folder != self._folder:
            self._follow(folder)
        return self._ways[-1]

    def _follow(self, folder: str) -> None:
        names = folder.split("/") if folder else []
        shared = 0
        for name, other in zip(names, self._names, strict=False):
            if name != other:
                break
            shared += 1
        del self._ways[shared + 1 :]
        for depth in range(shared, len(names)):
            way = self._ways[-1]
            if way.there and not way.obstacle:
                way = self._look("/".join(names[: depth + 1]), way)
            self._ways.append(way)
        self._folder, self._names = folder, names

    def _look(self, folder: str, above: Way) -> Way:
        try:
            found = os.lstat(self._root + folder)
        except FileNotFoundError:
            return above._replace(there=False)
        except OSError as problem:
            return Way(obstacle=f"{folder} cannot be looked at: {reason_of(problem)}")
        if stat.S_ISLNK(found.st_mode):
            return Way(obstacle=f"{folder} is a link, and nothing is changed behind links")
        if not stat.S_ISDIR(found.st_mode):
            return Way(obstacle=f"{folder} is no folder")
        begins = found.st_dev != self._device and not above.mount
        return Way(mount=folder if begins else above.mount, closed=self._closed(folder))

    def _closed(self, folder: str) -> str:
        may = os.access(self._root + folder, os.W_OK | os.X_OK, effective_ids=_BY_EFFECTIVE_ID)
        return "" if may else folder or "."


def try_names(folder: Path) -> NameRules:
    """Which names the file system takes for one, tried with a file in ``folder``; which proves that
    it can be written, too. Raises OSError."""
    # Not everyone stores a name that is not ASCII.
    for name in (f".probe-{secrets.token_hex(8)}-aé", f".probe-{secrets.token_hex(8)}-a"):
        probe = folder / name
        try:
            os.close(os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))
        except UnicodeEncodeError:  # the locale has no such letters: no name can be told with them
            continue
        except OSError as problem:
            if problem.errno in _NO_SUCH_NAMES and not name.isascii():
                continue
            raise
        try:
            others = (name.upper(), name.removesuffix("é") + "É")
            return NameRules(
                case=any(os.path.lexists(folder / other) for other in others if other != name),
                forms=not name.isascii() and os.path.lexists(folder / normalize("NFD", name)),
            )
        finally:
            os.unlink(probe)
    raise AssertionError("an ASCII name is a name")


def is_beyond(folder: Path, other: Path) -> bool:
    """Whether a file cannot be moved from one folder into the other: they are on different file
    systems, or on different mounts of one. Raises OSError."""
    if os.stat(folder).st_dev != os.stat(other).st_dev:
        return True
    # Linux compares the mounts before it looks for the file: one that is not there will do.
    name = f".probe-{secrets.token_hex(8)}"
    try:
        os.rename(folder / name, other / name)
    except OSError as problem:
        return problem.errno == errno.EXDEV
    return False
