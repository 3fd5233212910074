"""What the engine says while it works; whoever shows or counts it listens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from cxrsync.model import Outcome, RejectedLine


@dataclass(frozen=True, slots=True)
class Started:
    dataset: str
    version: str
    root: str
    selection: str
    connections: int


@dataclass(frozen=True, slots=True)
class Planned:
    """``present_bytes`` counts the files that are there and verified; other sizes are unknown.

    ``to_take``: how many of those ``to_fetch`` come from an older version on this disk;
    ``blocked``: how many cannot be put where they belong. ``due``: a hash of the path of each file
    that is selected and not present: it is to get one outcome. ``prefix``: what the paths of
    another dataset's files have in front when they are told.
    """

    selected: int
    present: int
    present_bytes: int
    to_fetch: int
    to_hash: int
    reusable: int = 0
    refused: tuple[RejectedLine, ...] = ()
    refused_lines: int = 0
    blocked: int = 0
    due: Sequence[int] = field(default=(), repr=False)
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes that arrived and are on the disk; negative where bytes had to be thrown away."""

    count: int


@dataclass(frozen=True, slots=True)
class FileDone:
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Retrying:
    """``path`` is empty where the whole server is waited for. ``after`` in seconds."""

    path: str
    after: float
    reason: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Another run holds what this one needs: ``what`` says which, ``waited`` how long that has been
    so, ``at_most`` how much longer it may be, in seconds."""

    what: str
    waited: float
    at_most: float


@dataclass(frozen=True, slots=True)
class ConcurrencyChanged:
    """From now on as many requests at a time."""

    count: int


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that a person should know and that is not a file's failure."""

    text: str


@dataclass(frozen=True, slots=True)
class TreeNotice(Notice):
    """Which tree is taken, where that is not plain; said even by a command that says little."""


@dataclass(frozen=True, slots=True)
class LimitReached:
    """The run may not take up more files; some are left."""


@dataclass(frozen=True, slots=True)
class Unaccounted:
    """Some of the selected files that have no outcome though their run was not stopped."""

    paths: tuple[str, ...]


class Finding(Enum):
    """What verification finds of one file. ``unreadable``: nothing can be said of its bytes;
    ``extra``: not in the manifest."""

    GOOD = "good"
    BAD = "bad"
    UNREADABLE = "unreadable"
    MISSING = "missing"
    EXTRA = "extra"


@dataclass(frozen=True, slots=True)
class Checked:
    """One file was verified. ``size`` in bytes, 0 where there is none; ``reason``: why it cannot be
    read."""

    path: str
    finding: Finding
    size: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """So many files, so many bytes."""

    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run did. ``bytes`` of ``selected`` counts the files whose size is known by its end.

    ``present`` was there and verified before; ``fetched`` arrived in this run (bytes: on the
    wire); ``resumed`` continued from bytes that were there (bytes: those not fetched again);
    ``copied`` of them came from a file or an archive on this disk; ``adopted`` was found, hashed
    and kept; ``mismatched`` contradict their published digest, ``acknowledged`` too, but that is
    known and no fault; ``selection`` says in words what was asked for; ``limited``: a limit of the
    user's left files out.
    """

    dataset: str
    version: str
    root: str
    selection: str
    selected: Totals
    present: Totals
    fetched: Totals
    copied: Totals
    resumed: Totals
    adopted: Totals
    failed: Totals
    mismatched: Totals
    acknowledged: Totals
    requests: int
    seconds: float
    exit_code: int
    problems: tuple[Outcome, ...] = field(default=())
    refused: tuple[RejectedLine, ...] = field(default=())
    error: str = ""
    limited: bool = False

    def as_json(self) -> dict[str, object]:
        """The summary as other people's scripts read it."""
        names: tuple[str, ...] = ("selected", "present", "fetched", "copied", "resumed")
        names += ("adopted", "failed", "mismatched", "acknowledged")
        return {
            "dataset": self.dataset,
            "version": self.version,
            "root": self.root,
            "selection": self.selection,
            "files": {name: getattr(self, name).files for name in names},
            "bytes": {name: getattr(self, name).bytes for name in names},
            "requests": self.requests,
            "seconds": self.seconds,
            "exit_code": self.exit_code,
            "error": self.error,
            "limited": self.limited,
            "problems": [
                {"path": each.path, "result": each.result.value, "reason": each.reason}
                for each in self.problems
            ],
            "refused": [each.as_json() for each in self.refused],
        }


@dataclass(frozen=True, slots=True)
class Finished:
    summary: RunSummary


Event = (
    Started
    | Planned
    | Received
    | FileDone
    | Retrying
    | Waiting
    | ConcurrencyChanged
    | Notice
    | LimitReached
    | Unaccounted
    | Checked
    | Finished
)

EventSink = Callable[[Event], None]
"""Tells whoever listens of an event."""
