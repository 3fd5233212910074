"""Find the files that left the manifest: listed by an earlier manifest, and by the present one no
more. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from cxrsync import humanize
from cxrsync.config.quantities import Share
from cxrsync.errors import RefusedForSafety
from cxrsync.model import Entry
from cxrsync.sorted_merge import merge_join

_PATH = attrgetter("path")


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A path that left the manifest. ``digests``: what earlier manifests had there."""

    path: str
    digests: frozenset[str]


def withdrawn(earlier: Iterable[Iterator[Entry]], present: Iterator[Entry]) -> Iterator[Withdrawn]:
    """Yield each path of an earlier manifest that the present one does not list, in order.

    All manifests are sorted by path.
    """
    known = (
        Withdrawn(path, frozenset(entry.sha256 for entry in entries))
        for path, entries in groupby(heapq.merge(*earlier, key=_PATH), key=_PATH)
    )
    for before, after in merge_join(known, present, _PATH, _PATH):
        if before is not None and after is None:
            yield before


def check_deletions(most: Share, count: int, listed: int, root: str) -> None:
    """Check how many files are to be moved to the trash.

    ``listed``: how many files the present manifest lists.

    Raises: RefusedForSafety for more than ``most`` of them.
    """
    allowed = most.of(listed)
    if count > allowed:
        raise RefusedForSafety(
            f"at least {humanize.files(count)} in {root} left the manifest, and "
            f"--max-delete {most} allows {allowed:,}: nothing was deleted",
            next_step="Compare the manifest with the earlier ones in .cxrsync/manifests. If the "
            "publisher did withdraw these files, repeat the command with a larger --max-delete.",
        )
