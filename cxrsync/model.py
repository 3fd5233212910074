"""The frozen values that travel through the house, from the manifest to the report."""

from __future__ import annotations

import re
from dataclasses import dataclass
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
class RejectedLine:
    """A manifest line that is not followed, and why. ``line`` counts from 1."""

    line: int
    reason: str

    def as_json(self) -> dict[str, object]:
        """It as other people's scripts read it."""
        return {"line": self.line, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class RemotePath:
    """A file as a source knows it."""

    dataset: str
    version: str
    path: str

    def __str__(self) -> str:
        return f"{self.dataset}/{self.version}/{self.path}"


class FileStat(NamedTuple):
    """What the disk says of a file: size in bytes, mtime in nanoseconds."""

    size: int
    mtime_ns: int


class NameRules(NamedTuple):
    """Which different names a file system takes for one: those that differ in capitals (``case``),
    or in how Unicode spells them (``forms``: é as one character or as two)."""

    case: bool = False
    forms: bool = False


class FileRecord(NamedTuple):
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


class DigestMismatch(NamedTuple):
    """A file whose bytes at the source do not have the published digest, twice over."""

    path: str
    expected: str
    observed: str
    validator: str


# More than any file system takes; what is summed up stays far below 63 bits.
MAX_BYTES = 1 << 50
# The end of what 63 bits of nanoseconds hold: 11 April 2262.
END_OF_TIME = (1 << 63) // 10**9
_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e]{0,510}"')


def is_size(count: int) -> bool:
    """Whether a file can have so many bytes."""
    return 0 <= count <= MAX_BYTES


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
