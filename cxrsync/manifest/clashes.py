"""Paths of a manifest that cannot stand side by side on a disk."""

from __future__ import annotations


class Nesting:
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
