"""The events that only the progress of a command needs: its phases, and the sizes of its files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from cxrsync.model import Kind


class Activity(Enum):
    """What a command does. The values are those of ``phase`` in JSON lines."""

    STARTING = "starting"
    ASKING = "asking"
    MANIFEST = "manifest"
    SELECTING = "selecting"
    INDEXING = "indexing"
    PLANNING = "planning"
    UNPACKING = "unpacking"
    FETCHING = "fetching"
    VERIFYING = "verifying"
    COUNTING = "counting"
    COMPARING = "comparing"
    LISTING = "listing"
    REPORTING = "reporting"
    NOTIFYING = "notifying"
    MAKING = "making"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class Phase:
    """From now on the command does this. ``what``: of what, in words; may be empty."""

    activity: Activity
    what: str = ""


@dataclass(frozen=True, slots=True)
class Suspended:
    """Nothing is transferred until :class:`Resumed`. ``asks``: a question is on the terminal, where
    nothing else may be written."""

    asks: bool = False


@dataclass(frozen=True, slots=True)
class Resumed:
    """What :class:`Suspended` has begun is over."""


@dataclass(frozen=True, slots=True)
class WaitingEnded:
    """What the last :class:`cxrsync.events.Waiting` waited for has arrived."""


@dataclass(frozen=True, slots=True)
class Sized:
    """The size of a file that arrives is known: ``total`` bytes, ``have`` of them are here."""

    path: str
    total: int
    have: int = 0
    is_manifest: bool = False


@dataclass(frozen=True, slots=True)
class ExpectedSizes:
    """The sizes expected of some missing files of one kind, before they arrive.

    ``bytes``: of all of them together. ``weight``: how many files the expectation is worth, 0 if
    there is none. ``spread``: the standard deviation of one size, as a part of the mean. ``basis``:
    where the sizes are from, in words.
    """

    kind: Kind
    files: int
    bytes: float
    weight: float
    spread: float
    basis: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What a plan has to do, in bytes.

    ``to_hash``: bytes of the files to hash. ``sizes``: of the missing files, by kind. ``prefix``:
    what paths have in front if they are of another dataset.
    """

    to_hash: int = 0
    sizes: tuple[ExpectedSizes, ...] = ()
    kind_of: Callable[[str], Kind] | None = field(default=None, repr=False)
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Unpacking:
    """So many of the missing files of one kind come out of an archive: none of them is requested.
    0: from now on those that are still missing are requested."""

    kind: Kind
    files: int
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Hashed:
    """A file that was there has been hashed, with whatever result. ``size`` in bytes."""

    size: int


@dataclass(frozen=True, slots=True)
class Advanced:
    """Of what the phase does, ``share`` is done, from 0 to 1."""

    share: float


@dataclass(frozen=True, slots=True)
class Replanned:
    """Of files that were announced before, some are found to be here: one task of a job over
    several machines has its plan. Numbers are of files; ``announced``: as missing."""

    announced: int
    present: int
    present_bytes: int
    to_fetch: int
    to_hash: int


ProgressEvent = (
    Phase
    | Suspended
    | Resumed
    | WaitingEnded
    | Sized
    | Expected
    | Unpacking
    | Hashed
    | Advanced
    | Replanned
)
