"""May files be written to a destination, and which of the datasets would fit? Pure."""

from __future__ import annotations

from collections.abc import Mapping

from cxrsync import humanize
from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.errors import ExitCode
from cxrsync.model import Kind
from cxrsync.preflight.access_facts import DestinationFacts
from cxrsync.preflight.checklist import Check, Mark
from cxrsync.storage.disk_space import FreeSpace

NAME = "destination"
# The manifest of mimic-cxr (77 MB) and the tables: without room for these nothing can be pulled.
_LEAST_BYTES = 200_000_000
_LEAST_FILES = 100
_NOT_SYNCED = (
    "The data use agreement forbids giving the data to third parties. Choose a --dest on your own "
    "disk or on one of your institution."
)
_ANOTHER = "Name another folder with --dest, or make room there."


def check_destination(
    facts: DestinationFacts, sizes: Mapping[str, tuple[DatasetInfo, int]]
) -> Check:
    """Return whether a destination can be used. ``sizes``: dataset and total bytes of each version
    that was asked about, by its name, where the site tells."""
    obstacle, step = _obstacle(facts)
    if obstacle:
        return Check(NAME, Mark.MISSING, obstacle, step, code=ExitCode.DISK)
    what = _what(facts)
    if facts.free is None:
        return Check(NAME, Mark.OK, what)
    too_large = [name for name in sizes if not _fits(facts.free, *sizes[name])]
    if not too_large:
        return Check(NAME, Mark.OK, what)
    named = " and ".join(f"{name} ({humanize.size(sizes[name][1])})" for name in too_large)
    return Check(
        NAME,
        Mark.WARNING,
        f"{what}: too small for the whole of {named}",
        "Select a part, such as --shard p10 or --split test (--dry-run tells its size), or name a "
        "larger disk with --dest.",
    )


def _obstacle(facts: DestinationFacts) -> tuple[str, str]:
    """Return what forbids to write there, and what to do; both empty if nothing does."""
    free, folder = facts.free, facts.folder
    if facts.obstacle:
        return facts.obstacle, "Name another folder with --dest."
    if facts.read_only:
        return f"{_mounted(facts)} is read-only", "Name another folder with --dest."
    if not facts.writable:
        step = f"Name another folder with --dest, or ask the owner of {folder} for permission."
        return f"{folder} may not be written to by this user", step
    if facts.synced is not None:
        sync = f"{facts.place} would sync online with {facts.synced.client} ({facts.synced.sign})"
        return sync, _NOT_SYNCED
    if free is not None and free.bytes < _LEAST_BYTES:
        left = humanize.size(free.bytes)
        return f"{facts.place} has only {left} left: too little for manifest and tables", _ANOTHER
    if free is not None and free.files is not None and free.files < _LEAST_FILES:
        return f"no more files can be created in {facts.place} (inodes)", _ANOTHER
    return "", ""


def _what(facts: DestinationFacts) -> str:
    parts = []
    if facts.free is not None:
        parts.append(f"{humanize.size(facts.free.bytes)} free")
        if facts.free.files is not None:
            parts.append(f"room for {facts.free.files:,} files")
    if facts.mount is not None:
        parts.append(_mounted(facts))
    return f"{facts.place}: {', '.join(parts)}" if parts else str(facts.place)


def _mounted(facts: DestinationFacts) -> str:
    if facts.mount is None:
        return f"the file system of {facts.folder}"
    return f"{facts.mount.kind} at {facts.mount.point}"


def _fits(free: FreeSpace, dataset: DatasetInfo, total: int) -> bool:
    mean = dataset.means.get(Kind.IMAGES)
    # Each image needs a file, and nearly as many folders of studies and subjects.
    files = 2 * total // mean if mean else 0
    return free.bytes >= total and (free.files is None or free.files >= files)
