"""The events of a run, and its summary. ``ui`` shows the events, ``stats`` counts them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

# "as": a program finds all events here, and what they hold.
from cxrsync.model import Outcome as Outcome
from cxrsync.model import RejectedLine
from cxrsync.model import Result as Result
from cxrsync.progress_events import Activity as Activity
from cxrsync.progress_events import Advanced as Advanced
from cxrsync.progress_events import Expected as Expected
from cxrsync.progress_events import Hashed as Hashed
from cxrsync.progress_events import Phase as Phase
from cxrsync.progress_events import ProgressEvent
from cxrsync.progress_events import Replanned as Replanned
from cxrsync.progress_events import Resumed as Resumed
from cxrsync.progress_events import Sized as Sized
from cxrsync.progress_events import Suspended as Suspended
from cxrsync.progress_events import Unpacking as Unpacking
from cxrsync.progress_events import WaitingEnded as WaitingEnded


@dataclass(frozen=True, slots=True)
class Started:
    """A run has begun. ``selection`` is the selection in words."""

    dataset: str
    version: str
    root: str
    selection: str
    connections: int


@dataclass(frozen=True, slots=True)
class Planned:
    """A set of partitions was planned. Numbers are of files.

    ``present_bytes``: the size of the ``present`` files, which are verified; other sizes are not
    known. ``to_hash``: unverified files that are there. ``reusable``: how many of those
    ``to_fetch`` an older version on this disk has. ``blocked``: files whose final name cannot be
    used. ``due``: a hash of the path of each selected file that is not present: each of them must
    get one outcome. ``prefix``: what outcomes have before the path if it is of another dataset.
    ``to_copy``: verified files of which a smaller copy is to be made. ``derived``: files that their
    copies replaced before, ``derived_bytes`` their size, and ``copy_bytes`` that of the copies.
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
    to_copy: int = 0
    derived: int = 0
    derived_bytes: int = 0
    copy_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Received:
    """So many bytes of a file arrived and were written; negative if bytes had to be discarded."""

    count: int
    path: str = ""
    is_manifest: bool = False


@dataclass(frozen=True, slots=True)
class FileDone:
    """A selected file has its outcome."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Deleted:
    """So many files that left the manifest, and their bytes, were moved to the trash."""

    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Retrying:
    """A request is repeated after so many seconds. ``path`` is empty if the server is away."""

    path: str
    after: float
    reason: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """The run waits: for another run, for a server that is silent. ``what`` says for what.

    ``waited``: for how many seconds so far. ``at_most``: for how many more at most.
    """

    what: str
    waited: float
    at_most: float


@dataclass(frozen=True, slots=True)
class ConcurrencyChanged:
    """So many requests may be made at a time from now on."""

    count: int


@dataclass(frozen=True, slots=True)
class SigningIn:
    """The server asks for a password. Whose is sent, and where it was found; never the secret."""

    user: str
    found_in: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the user should know and that is no failure of a file."""

    text: str


@dataclass(frozen=True, slots=True)
class TreeNotice(Notice):
    """Which tree is used, if that is not obvious. Shown even by commands that show little else."""


@dataclass(frozen=True, slots=True)
class LeftOut(Notice):
    """What was asked for and is left out. Shown even by commands that show little else."""


@dataclass(frozen=True, slots=True)
class LimitReached:
    """A limit of the user's was reached; some selected files are left."""


@dataclass(frozen=True, slots=True)
class Unaccounted:
    """Some selected files without an outcome, although the run was not stopped: a bug."""

    paths: tuple[str, ...]


class Finding(Enum):
    """What verification found for one file.

    ``UNREADABLE``: its bytes cannot be read, so they are neither good nor bad. ``EXTRA``: the file
    is not in the manifest.
    """

    GOOD = "good"
    BAD = "bad"
    UNREADABLE = "unreadable"
    MISSING = "missing"
    EXTRA = "extra"


@dataclass(frozen=True, slots=True)
class Checked:
    """One file was verified. ``size`` in bytes, 0 if it is missing; ``reason``: why it cannot be
    read."""

    path: str
    finding: Finding
    size: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """A number of files and their bytes."""

    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class ScrubCounts:
    """What a scrub did.

    ``total``: files with a proof; ``due``: the share of this night; ``good``: those of the share
    whose bytes are right, and whose proofs are new. ``bad``, ``unreadable``, ``missing``: numbers
    of files. ``period``: the age in seconds that no proof may reach; ``oldest``: the age of the
    oldest proof at ``ended_at`` (POSIX time), None without any. ``stopped``: a limit ended it
    before the whole share was hashed.
    """

    period: float
    total: Totals = Totals()
    due: Totals = Totals()
    good: Totals = Totals()
    bad: int = 0
    unreadable: int = 0
    missing: int = 0
    oldest: float | None = None
    seconds: float = 0.0
    ended_at: float = 0.0
    stopped: bool = False

    def as_json(self) -> dict[str, object]:
        """The counts as users' scripts read them. The keys never change."""
        return {
            "period": self.period,
            "files": {
                "total": self.total.files,
                "due": self.due.files,
                "good": self.good.files,
                "bad": self.bad,
                "unreadable": self.unreadable,
                "missing": self.missing,
            },
            "bytes": {
                "total": self.total.bytes,
                "due": self.due.bytes,
                "good": self.good.bytes,
            },
            "oldest_age": None if self.oldest is None else round(self.oldest, 1),
            "seconds": self.seconds,
            "stopped": self.stopped,
        }


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run did.

    ``selected``: its bytes are those of the files whose size is known at the end. ``present``:
    verified before this run. ``fetched``: arrived in this run; its bytes are those that the network
    carried. ``copied``: those of the fetched files that came from a file or archive on this disk.
    ``resumed``: continued from a partial; its bytes were not fetched again. ``adopted``: were there
    and have been verified. ``mismatched``: the source's copy does not have the published digest.
    ``acknowledged``: the same, but the user has accepted it. ``derived``: images whose smaller copy
    this run made, or whose copy replaced them before; its bytes are those of the copies. An image
    that was fetched for its copy counts here, and not in the files of ``fetched``. ``deleted``:
    left the manifest, and were moved to the trash; they are not selected. ``selection``: in words.
    ``limited``: a limit of the user's left files out. ``samples``: seconds since the beginning
    and bytes received so far; only the log in the tree has them. ``run``: the name of that log
    without .json, empty if there is none. ``sources``: the fetched files by where they came from,
    if that was more than one place; their bytes are those of the files. ``scrub``: what a mirror
    hashed again beside the run. ``reports_root``: the other tree, of the reports; "" for none.
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
    run: str = ""
    scrub: ScrubCounts | None = None
    deleted: Totals = Totals()
    samples: tuple[tuple[float, int], ...] = field(default=(), repr=False)
    sources: tuple[tuple[str, Totals], ...] = ()
    reports_root: str = ""
    derived: Totals = Totals()

    def as_json(self) -> dict[str, object]:
        """The summary as users' scripts read it. Its keys never change."""
        names: tuple[str, ...] = ("selected", "present", "fetched", "copied", "resumed")
        names += ("adopted", "failed", "mismatched", "acknowledged", "deleted", "derived")
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
            **({"sources": self._sources()} if self.sources else {}),
            **({"reports_root": self.reports_root} if self.reports_root else {}),
            **({} if self.scrub is None else {"scrub": self.scrub.as_json()}),
        }

    def _sources(self) -> list[dict[str, object]]:
        return [
            {"source": name, "files": totals.files, "bytes": totals.bytes}
            for name, totals in self.sources
        ]


@dataclass(frozen=True, slots=True)
class Finished:
    """A run has ended."""

    summary: RunSummary


Event = (
    Started
    | Planned
    | Received
    | FileDone
    | Deleted
    | Retrying
    | Waiting
    | ConcurrencyChanged
    | SigningIn
    | Notice
    | LimitReached
    | Unaccounted
    | Checked
    | Finished
    | ProgressEvent
)

EventSink = Callable[[Event], None]
"""Receives each event, in the event loop's thread."""
