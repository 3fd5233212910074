"""Refuses or warns about a destination: a drive that syncs online, a git work tree."""

from __future__ import annotations

from cxrsync.errors import UsageError
from cxrsync.preflight.cloud_sync import find_synced_drive
from cxrsync.preflight.destination import DestinationInfo
from cxrsync.preflight.git_check import find_work_tree, ignore_rule, is_ignored


def refuse_synced_drive(destination: DestinationInfo) -> None:
    """Raise UsageError if files written there would be uploaded, with the reason."""
    place = destination.place
    if (found := find_synced_drive(destination)) is not None:
        raise UsageError(
            f"{place} would sync online with {found.client} ({found.sign}). The data use "
            "agreement forbids giving the data to third parties. Also, renames are not atomic on "
            "such a drive: an incomplete file could get a final name",
            next_step="Choose a --dest on your own disk or on one of your institution. If your "
            "agreement allows this drive, give --allow-synced.",
        )


def git_warning(destination: DestinationInfo) -> str | None:
    """Return a warning that one ``git add`` would add the data, or None if git ignores them."""
    place, top = destination.place, find_work_tree(destination)
    if top is None or is_ignored(place, top) is not False:
        return None
    return (
        f"{place} is in a git work tree that does not ignore it: `git add` could publish the "
        f"data. Add this line to {top / '.gitignore'}: {ignore_rule(place, top)}"
    )
