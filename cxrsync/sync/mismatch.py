"""What a wrong digest means, purely."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

_MAX_ATTEMPTS = 3


class Observation(NamedTuple):
    """A digest that was not the expected one. ``whole``: all bytes came in this one attempt, none
    from an earlier run or another tool."""

    digest: str
    whole: bool


class Verdict(Enum):
    """What to do about it."""

    AGAIN = "fetch it once more, from zero"
    CONTRADICTED = "the source's copy is not the published one"
    CORRUPTED = "the bytes arrive differently each time"


def judge(seen: Sequence[Observation], known: str | None = None) -> Verdict:
    """The verdict after the observations so far; ``known``: the digest of an earlier contradiction.

    The same wrong bytes twice, each time fetched whole, are the publisher's (mimic-cxr-jpg 2.1.0
    had such files); a prefix of unknown origin proves nothing.
    """
    whole = [observation.digest for observation in seen if observation.whole]
    if whole and (known == whole[-1] or whole.count(whole[-1]) >= 2):
        return Verdict.CONTRADICTED
    return Verdict.CORRUPTED if len(whole) >= _MAX_ATTEMPTS else Verdict.AGAIN
