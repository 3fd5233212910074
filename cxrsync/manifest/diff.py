"""What changed between two manifests, purely: by a merge of their sorted entries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from cxrsync.model import Entry


class Change(Enum):
    """What became of a path from one version to the next."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """One path that two versions differ in. ``entry`` is the later version's; of a path that was
    removed, the earlier one's."""

    change: Change
    entry: Entry


def differences(old: Iterator[Entry], new: Iterator[Entry]) -> Iterator[Difference]:
    """What changed, by a merge of two sorted listings."""
    before, after = next(old, None), next(new, None)
    while before is not None or after is not None:
        if after is None or (before is not None and before.path < after.path):
            assert before is not None
            yield Difference(Change.REMOVED, before)
            before = next(old, None)
        elif before is None or after.path < before.path:
            yield Difference(Change.ADDED, after)
            after = next(new, None)
        else:
            if before.sha256 != after.sha256:
                yield Difference(Change.CHANGED, after)
            before, after = next(old, None), next(new, None)


def removed(old: Iterator[Entry], new: Iterator[Entry]) -> Iterator[str]:
    """The paths that the new manifest does not list any more, in order."""
    for each in differences(old, new):
        if each.change is Change.REMOVED:
            yield each.entry.path
