"""Decide what a wrong digest means. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from cxrsync.model import DigestMismatch

_MAX_ATTEMPTS = 3


class Observation(NamedTuple):
    """A digest that was not the expected one. ``whole``: all bytes came in this attempt, and none
    from an earlier run or another tool."""

    digest: str
    whole: bool


class Verdict(Enum):
    """What to do about a wrong digest."""

    RETRY = "fetch the file once more, from its first byte"
    MISMATCH = "the source's copy is not the published one"
    CORRUPTED = "the bytes arrive differently each time"


def judge(observations: Sequence[Observation], known: str | None = None) -> Verdict:
    """Return the verdict after these observations. ``known``: the digest of an earlier mismatch.

    If the same wrong bytes arrive twice, each time fetched whole, the source has them
    (mimic-cxr-jpg 2.1.0 had such files). Bytes from an earlier run or another tool prove nothing.
    """
    whole = [observation.digest for observation in observations if observation.whole]
    if whole and (known == whole[-1] or whole.count(whole[-1]) >= 2):
        return Verdict.MISMATCH
    return Verdict.CORRUPTED if len(whole) >= _MAX_ATTEMPTS else Verdict.RETRY


def described(found: DigestMismatch) -> str:
    """Return a mismatch in words."""
    return f"the source's copy has the SHA-256 {found.observed}, the manifest has {found.expected}"
