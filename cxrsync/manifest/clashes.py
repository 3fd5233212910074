"""Paths of a manifest that cannot stand side by side on a disk."""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from cxrsync.model import NameRules

_64_BITS = (1 << 64) - 1


class NestingDetector:
    """Finds the files that are folders of other files too, as ``a`` beside ``a/b``.

    Told of every path, in byte order. ``folders`` are the paths that cannot be files.
    """

    def __init__(self) -> None:
        self.folders: set[str] = set()
        # The last path, and those before it that it begins with: all between a path and what lies
        # below it begin with that path, too.
        self._open: list[bytes] = []

    def add(self, path: bytes) -> None:
        """The next path."""
        above = self._open
        while above and not path.startswith(above[-1]):
            above.pop()
        for each in above:
            if path[len(each) : len(each) + 1] == b"/":
                self.folders.add(each.decode("utf-8", "replace"))
        above.append(path)


def name_key(path: str, rules: NameRules) -> str:
    """What a path comes to on a file system with such rules: where two of them come to the same,
    they are one there.

    Capitals are folded as Unicode has it, which is never less than a file system does.
    """
    if path.isascii():
        return path.lower() if rules.case else path
    if rules.forms:
        path = unicodedata.normalize("NFD", path)
    if rules.case:
        path = path.casefold()
    return unicodedata.normalize("NFD", path) if rules.forms else path


def find_name_clashes(paths: Callable[[], Iterable[str]], rules: NameRules) -> dict[str, str]:
    """The paths that a file system with such rules takes for another's, or for a folder of others;
    and that one.

    ``paths`` gives them in byte order, as often as it is called. Of each no more than a few bytes
    are kept, unless it is one of those.
    """
    files = array("Q", (_hash(path, rules) for path in paths()))
    folders = {_hash(folder, rules) for folder in _folders(paths())}
    suspects = _repeated(files) | folders.intersection(files)
    if not suspects:
        return {}
    # Few are left: now by the key itself.
    folder_of = {
        name_key(folder, rules): folder
        for folder in _folders(paths())
        if _hash(folder, rules) in suspects
    }
    first: dict[str, str] = {}
    found: dict[str, str] = {}
    for path in paths():
        if _hash(path, rules) not in suspects:
            continue
        key = name_key(path, rules)
        other = folder_of.get(key)
        if other is None:
            other = first.setdefault(key, path)
            if other != path:
                found.setdefault(other, path)
        if other != path:
            found[path] = other
    return found


def _hash(path: str, rules: NameRules) -> int:
    return hash(name_key(path, rules)) & _64_BITS


def _folders(paths: Iterable[str]) -> Iterator[str]:
    """The folders of paths in order, and those above them; some more than once."""
    last = ""
    for path in paths:
        folder = path.rpartition("/")[0]
        if folder != last:
            last = folder
            while folder:
                yield folder
                folder = folder.rpartition("/")[0]


def _repeated(numbers: Iterable[int]) -> set[int]:
    ordered = sorted(numbers)
    return {one for one, next_one in pairwise(ordered) if one == next_one}
