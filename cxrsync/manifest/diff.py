"""The differences between two manifests, by a merge of their sorted entries. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter

from cxrsync.model import Entry
from cxrsync.sorted_merge import merge_join

_PATH = attrgetter("path")


class Change(Enum):
    """How a path changed from one version to the next."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """A path that differs between two versions. ``entry`` is the later version's; the earlier
    version's for a path that was removed."""

    change: Change
    entry: Entry


def differences(old: Iterator[Entry], new: Iterator[Entry]) -> Iterator[Difference]:
    """Yield each path that differs between two manifests, in order. Both are sorted by path."""
    for before, after in merge_join(old, new, _PATH, _PATH):
        if after is None:
            assert before is not None
            yield Difference(Change.REMOVED, before)
        elif before is None:
            yield Difference(Change.ADDED, after)
        elif before.sha256 != after.sha256:
            yield Difference(Change.CHANGED, after)


def removed(old: Iterator[Entry], new: Iterator[Entry]) -> Iterator[str]:
    """Yield the paths that the new manifest does not list any more, in order."""
    for each in differences(old, new):
        if each.change is Change.REMOVED:
            yield each.entry.path
