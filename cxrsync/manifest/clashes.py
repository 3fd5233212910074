"""Finds paths of a manifest that cannot exist side by side on a disk."""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise

from cxrsync.model import NameRules

_64_BITS = (1 << 64) - 1


class NestingDetector:
    """Finds files that are also folders of other files, like ``a`` with ``a/b``.

    Add every path, in byte order. ``folders``: the paths that cannot be files.
    """

    def __init__(self) -> None:
        self.folders: set[str] = set()
        # The last path, and the earlier ones that are its prefixes: every path that sorts between a
        # path and one below it begins with that path, too.
        self._open: list[bytes] = []

    def add_all(self, paths: Sequence[bytes]) -> None:
        """Add the next paths, of which there is at least one."""
        self.add(paths[0])
        # If no path is the prefix of the next one, none of them opens anything.
        if len(self._open) > 1 or any(map(bytes.startswith, islice(paths, 1, None), paths)):
            for path in islice(paths, 1, None):
                self.add(path)
        else:
            self._open = [paths[-1]]

    def add(self, path: bytes) -> None:
        """Add the next path."""
        above = self._open
        while above and not path.startswith(above[-1]):
            above.pop()
        for each in above:
            if path[len(each) : len(each) + 1] == b"/":
                self.folders.add(each.decode("utf-8", "replace"))
        above.append(path)


def name_key(path: str, rules: NameRules) -> str:
    """Return a key of a path: paths with equal keys are one name to a file system with these rules.

    Upper case is folded as Unicode defines it, which folds at least as much as any file system.
    """
    if path.isascii():
        return path.lower() if rules.case else path
    if rules.forms:
        path = unicodedata.normalize("NFD", path)
    if rules.case:
        path = path.casefold()
    return unicodedata.normalize("NFD", path) if rules.forms else path


def find_name_clashes(paths: Callable[[], Iterable[str]], rules: NameRules) -> dict[str, str]:
    """Return the paths that are one name with another path, or with a folder of others, to a file
    system with these rules. Maps each to that other path.

    ``paths`` yields them in byte order, each time it is called. Only a few bytes are kept for each
    path, unless it clashes.
    """
    files = array("Q", (_hash(path, rules) for path in paths()))
    folders = {_hash(folder, rules) for folder in _folders(paths())}
    suspects = _repeated(files) | folders.intersection(files)
    if not suspects:
        return {}
    # Few are left. Compare their keys themselves, not hashes.
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
    """Yield the folders of sorted paths, and their parents; some more than once."""
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
