"""One file on its way through the scheduler."""

from __future__ import annotations

from dataclasses import dataclass, field

from cxrsync.model import Entry
from cxrsync.sync.digest_mismatch import Observation


@dataclass(slots=True)
class FileJob:
    """One file to fetch.

    ``found_wrong``: the file under the final name has a wrong digest; it may be the beginning of
    the right file. ``copy_of``: the path of a published file with the same digest to copy; only
    size and time are asked for. ``followers``: jobs with the same digest that wait for this one.
    ``drawn``: whether the run's budget has been charged for the file.
    """

    entry: Entry
    found_wrong: bool = False
    copy_of: str | None = None
    observations: list[Observation] = field(default_factory=list)
    followers: list[FileJob] = field(default_factory=list)
    drawn: bool = False
