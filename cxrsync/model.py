"""The frozen values that travel through the house, from the manifest to the report."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

ROOT = "root"
MANIFEST_NAME = "SHA256SUMS.txt"

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SHARD = re.compile(r"files/(p[0-9]{2})/")


class Kind(Enum):
    """What a file of a dataset is for; the values of ``--only``."""

    IMAGES = "images"
    REPORTS = "reports"
    TABLES = "tables"
    ARCHIVES = "archives"
    DOCS = "docs"


class Entry(NamedTuple):
    """One line of the manifest: ``path`` relative to the version's root, ``sha256`` in hex."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A manifest line that is not followed, and why. ``line`` counts from 1."""

    line: int
    reason: str

    def as_json(self) -> dict[str, object]:
        """It as other people's scripts read it."""
        return {"line": self.line, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Ref:
    """A file as a source knows it."""

    dataset: str
    version: str
    path: str

    def __str__(self) -> str:
        return f"{self.dataset}/{self.version}/{self.path}"


class Found(NamedTuple):
    """What the disk says of a file: size in bytes, mtime in nanoseconds."""

    size: int
    mtime_ns: int


class NameRules(NamedTuple):
    """Which different names a file system takes for one: those that differ in capitals (``case``),
    or in how Unicode spells them (``forms``: é as one character or as two)."""

    case: bool = False
    forms: bool = False


class Row(NamedTuple):
    """What the state says of a file that was verified under its final name.

    ``source`` and ``validator`` tell where it came from (empty for an adopted file);
    ``verified_at`` is a POSIX time in seconds.
    """

    path: str
    sha256: str
    size: int
    mtime_ns: int
    source: str
    validator: str
    verified_at: float


class Contradiction(NamedTuple):
    """A file whose bytes at the source do not have the published digest, twice over."""

    path: str
    expected: str
    observed: str
    validator: str


# ── what may be true of a file, whoever says so ────────────────────────────────────────────────

# More than any file system takes; what is summed up stays far below 63 bits.
MOST_BYTES = 1 << 50
# The end of what 63 bits of nanoseconds hold: 11 April 2262.
END_OF_TIME = (1 << 63) // 10**9
_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e]{0,510}"')


def is_size(count: int) -> bool:
    """Whether a file can have so many bytes."""
    return 0 <= count <= MOST_BYTES


def is_time(seconds: float) -> bool:
    """Whether a file can have this POSIX time: from 1970, up to what the state can hold."""
    return 0 <= seconds < END_OF_TIME


def is_validator(text: str) -> bool:
    """Whether a text is a strong ETag of a sensible length: it goes into a request's header, and
    only such a one promises byte-for-byte equality (RFC 9110 8.8.1)."""
    return _STRONG_TAG.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Whether a text is a SHA-256 as we write it."""
    return _DIGEST.fullmatch(text) is not None


def partition_of(path: str) -> str:
    """The partition a path belongs to: its shard (``files/p10/…`` → ``p10``), or ``root``.

    State, lock and partials are kept per partition, so that one lost state costs one shard to
    rebuild, and a job array with one shard a task can work on one tree.
    """
    shard = _SHARD.match(path)
    return shard.group(1) if shard else ROOT


class Result(Enum):
    """How one file ended."""

    FETCHED = "fetched"
    ADOPTED = "adopted"
    COPIED = "copied"
    FAILED = "failed"
    CONTRADICTED = "contradicted"
    ACKNOWLEDGED = "acknowledged"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file; a file's failure is this value, not an exception.

    ``size`` is the file's size; ``resumed`` the bytes that were there before this run asked for
    the rest; ``reason`` says why it failed. ``open_to_others``: an adopted file that others can
    read, which is not ours to change.
    """

    path: str
    result: Result
    size: int = 0
    resumed: int = 0
    reason: str = ""
    open_to_others: bool = False


# ── events: what the engine says while it works; the report listens ────────────────────────────


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
    to_take: int = 0
    refused: tuple[Refused, ...] = ()
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
class Connections:
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
class Amount:
    """So many files, so many bytes."""

    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
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
    selected: Amount
    present: Amount
    fetched: Amount
    copied: Amount
    resumed: Amount
    adopted: Amount
    failed: Amount
    mismatched: Amount
    acknowledged: Amount
    requests: int
    seconds: float
    exit_code: int
    problems: tuple[Outcome, ...] = field(default=())
    refused: tuple[Refused, ...] = field(default=())
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
    summary: Summary


Event = (
    Started
    | Planned
    | Received
    | FileDone
    | Retrying
    | Waiting
    | Connections
    | Notice
    | LimitReached
    | Unaccounted
    | Checked
    | Finished
)

Emit = Callable[[Event], None]
"""Tells whoever listens of an event."""
