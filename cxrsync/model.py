"""The frozen values that all packages share: entries, file records, mismatches, outcomes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

# A piece of a file. Whoever gets a view may keep it: nobody changes the bytes that it shows.
Chunk = bytes | memoryview

ROOT = "root"
MANIFEST_NAME = "SHA256SUMS.txt"
# Our own folder in the root of a version's tree.
OWN_FOLDER = ".cxrsync"
# The name of a shard: p10 … p19 in MIMIC-CXR.
SHARD_NAME = re.compile(r"p[0-9]{2}")

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SHARD_FOLDER = re.compile(rf"files/({SHARD_NAME.pattern})/")
_SHARD_PREFIX = len("files/p10/")


class Kind(Enum):
    """The kind of a dataset's file; the values of ``--only``."""

    IMAGES = "images"
    REPORTS = "reports"
    TABLES = "tables"
    ARCHIVES = "archives"
    DOCS = "docs"


class Entry(NamedTuple):
    """One line of the manifest. ``path`` is relative to the version's root; ``sha256`` in hex."""

    path: str
    sha256: str

    def as_line(self) -> str:
        """Return the line that GNU sha256sum writes of it, without its end."""
        return f"{self.sha256}  {self.path}"


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """A manifest line that is not used, and why. ``line`` counts from 1."""

    line: int
    reason: str

    def as_json(self) -> dict[str, object]:
        """The line as users' scripts read it. Its keys never change."""
        return {"line": self.line, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class RemotePath:
    """The name of a file at a source."""

    dataset: str
    version: str
    path: str

    def __str__(self) -> str:
        return f"{self.dataset}/{self.version}/{self.path}"


class FileStat(NamedTuple):
    """What the disk says about a file: size in bytes, mtime in nanoseconds."""

    size: int
    mtime_ns: int


class NameRules(NamedTuple):
    """Which different names a file system treats as one name.

    ``case``: names that differ in capitals. ``forms``: names that differ in their Unicode form (é
    as one character or as two).
    """

    case: bool = False
    forms: bool = False


class CopyRecord(NamedTuple):
    """What the state says about the smaller copy that is there instead of a file: the pixels of its
    shorter side, the digest and the size of the copy."""

    pixels: int
    sha256: str
    size: int


class FileRecord(NamedTuple):
    """What the state says about a file that was verified under its final name.

    ``source`` and ``validator`` say where it came from; both are empty for an adopted file.
    ``verified_at`` is a POSIX time in seconds. ``copy``: the file was replaced by a smaller copy
    after it was verified, and removed; if it is there all the same, the record proves it.
    """

    path: str
    sha256: str
    size: int
    mtime_ns: int
    source: str
    validator: str
    verified_at: float
    copy: CopyRecord | None = None


class DigestMismatch(NamedTuple):
    """A file whose bytes at the source twice did not have the published digest."""

    path: str
    expected: str
    observed: str
    validator: str


# Larger than any file; sums of such sizes stay far below 63 bits.
MAX_BYTES = 1 << 50
# The largest time that 63 bits of nanoseconds can hold: 11 April 2262.
END_OF_TIME = (1 << 63) // 10**9
_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e]{0,510}"')


def is_size(count: int) -> bool:
    """Whether ``count`` can be a file's size in bytes."""
    return 0 <= count <= MAX_BYTES


def is_time(seconds: float) -> bool:
    """Whether a file can have this POSIX time: from 1970 to the last that the state can hold."""
    return 0 <= seconds < END_OF_TIME


def is_validator(text: str) -> bool:
    """Whether ``text`` is a strong ETag of a sensible length.

    It is sent in request headers, and only a strong ETag promises that the bytes are equal
    (RFC 9110 section 8.8.1).
    """
    return _STRONG_TAG.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Whether ``text`` is a SHA-256 digest in lower-case hex."""
    return _DIGEST.fullmatch(text) is not None


def partition_of(path: str) -> str:
    """The partition of a path: its shard (``files/p10/…`` → ``p10``), or ``root``.

    Each partition has a state, a lock and partials of its own. So a lost state costs the
    verification of one shard, and a job array with one shard per task can work on one tree.
    """
    return _partition_of_prefix(path[:_SHARD_PREFIX])


@lru_cache(maxsize=256)
def _partition_of_prefix(prefix: str) -> str:
    shard = _SHARD_FOLDER.match(prefix)
    return shard.group(1) if shard else ROOT


class Result(Enum):
    """The kinds of outcome."""

    FETCHED = "fetched"
    ADOPTED = "adopted"
    COPIED = "copied"
    FAILED = "failed"
    CONTRADICTED = "contradicted"
    ACKNOWLEDGED = "acknowledged"
    DERIVED = "derived"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one selected file. A file's failure is this value, not an exception.

    ``size``: the size of the file. ``resumed``: how many of its bytes a partial already had.
    ``reason``: why it failed. ``source``: where its bytes came from, if they were fetched.
    ``open_to_others``: an adopted file that other users can read; cxrsync does not change its
    permissions. ``copy_size``: of the smaller copy that was made of it.
    """

    path: str
    result: Result
    size: int = 0
    resumed: int = 0
    reason: str = ""
    open_to_others: bool = False
    source: str = ""
    copy_size: int = 0
