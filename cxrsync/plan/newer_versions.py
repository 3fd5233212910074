"""Decide how a mirror deals with the versions of its dataset. Pure.

1. Once a day it looks. A look is one request, besides those of a version that is new: the list of
   versions, or, while a listed version cannot be had, that one. The list then waits for a week.
2. A newer version that can be had is followed, if the job asks for it, unless its manifest looks
   like a fault of the server.
3. Of older versions, as many stay as the job keeps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cxrsync.dataset.known_versions import Access, FoundVersion, KnownVersions, VersionChanges
from cxrsync.dataset.lost_entries import MAX_LOST
from cxrsync.dataset.version import version_key

# Less than a day: one night begins some hours earlier than the night before.
LOOK_SECONDS = 72_000.0
LIST_SECONDS = 6.5 * 86_400.0


@dataclass(frozen=True, slots=True)
class Look:
    """What to ask the source: for the list of versions, or for the manifest of ``version``."""

    lists: bool = False
    version: str | None = None


def newer(listed: Iterable[str], present: str) -> list[str]:
    """Return the versions that follow ``present``, the newest first."""
    later = {each for each in listed if version_key(each) > version_key(present)}
    return sorted(later, key=version_key, reverse=True)


def next_look(known: KnownVersions, present: str, now: float) -> Look:
    """Return what to ask now; nothing if the last look was less than a day ago. ``now``: POSIX
    time. A clock that was set back makes a look due."""
    if not _is_due(known.looked_at, now, LOOK_SECONDS):
        return Look()
    pending = [each for each in newer(known.listed, present) if _is_pending(known.found.get(each))]
    if not pending or _is_due(known.listed_at, now, LIST_SECONDS):
        return Look(lists=True)
    # One of them each time: the one that was asked for longest ago.
    return Look(version=min(pending, key=lambda each: _asked_at(known.found.get(each))))


def unseen(known: KnownVersions, present: str) -> list[str]:
    """Return the listed newer versions of which nothing is known, the newest first."""
    return [each for each in newer(known.listed, present) if each not in known.found]


def version_to_follow(known: KnownVersions, present: str) -> str | None:
    """Return the newest version that can be had and raises no doubt; None if there is none."""
    for each in newer(known.listed, present):
        found = known.found.get(each)
        if found is not None and found.access is Access.OPEN and not doubt(found.changes):
            return each
    return None


def doubt(changes: VersionChanges | None) -> str:
    """Return why the manifest of a newer version may be a fault of the server; "" if it is none.

    The rules are those for a new manifest of the same version.
    """
    if changes is None:
        return ""
    if changes.before - changes.now > MAX_LOST * changes.before:
        return f"lists only {changes.now:,} files, and the present one {changes.before:,}"
    if changes.was_sorted and not changes.is_sorted:
        return "is not sorted, and the present one is"
    return ""


def surplus_versions(
    versions: Iterable[str], complete: Iterable[str], present: str, keep: int
) -> list[str]:
    """Return the versions of which a mirror that keeps ``keep`` needs none, the oldest first.

    The present one is kept, and every newer one. Only ``complete`` ones are counted: one that was
    never complete goes with those that are older than the oldest one that is kept.
    """
    oldest = version_key(present)
    if keep > 1:
        whole = sorted(key for each in complete if (key := version_key(each)) < oldest)
        if len(whole) < keep - 1:
            return []
        oldest = whole[-(keep - 1)]
    return sorted((each for each in versions if version_key(each) < oldest), key=version_key)


def _is_pending(found: FoundVersion | None) -> bool:
    """Whether asking again may change what the mirror does."""
    return found is None or found.access is not Access.OPEN or bool(doubt(found.changes))


def _asked_at(found: FoundVersion | None) -> float:
    return 0.0 if found is None else found.asked_at


def _is_due(at: float | None, now: float, seconds: float) -> bool:
    return at is None or abs(now - at) >= seconds
