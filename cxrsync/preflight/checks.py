"""What speaks against a destination, in words: a drive that syncs online, a git work tree."""

from __future__ import annotations

from cxrsync.errors import UsageError
from cxrsync.preflight.cloud_sync import find_synced_drive
from cxrsync.preflight.destination import DestinationInfo
from cxrsync.preflight.git_check import find_work_tree, ignore_rule, is_ignored


def refuse_synced_drive(destination: DestinationInfo) -> None:
    """Raise UsageError where what is written there would go online, with the reason."""
    place = destination.place
    if (found := find_synced_drive(destination)) is not None:
        raise UsageError(
            f"{place} would sync online with {found.client} ({found.sign}). The data use "
            "agreement forbids giving the data to third parties; and renames are not atomic on "
            "such a drive, so that a half file could bear a final name",
            next_step="Choose a --dest on a disk of your own or of your institution's. Where the "
            "agreement lets you, say --allow-synced.",
        )


def git_warning(destination: DestinationInfo) -> str | None:
    """A warning that one ``git add`` would take the data in, or None where git ignores them."""
    place, top = destination.place, find_work_tree(destination)
    if top is None or is_ignored(place, top) is not False:
        return None
    return (
        f"{place} is in a git work tree that does not ignore it: `git add` could publish the "
        f"data. Put this line into {top / '.gitignore'}: {ignore_rule(place, top)}"
    )
