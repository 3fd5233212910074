"""The rules for responses: what to do about an answer or an error, decided purely.

:func:`cxrsync.sources.http.responses.interpret_response` says what a status and headers mean;
:func:`decide` says what follows, given what is on the disk. Tests go through both together.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cxrsync.errors import (
    AccessDenied,
    FileDenied,
    Interrupted,
    InvalidResponse,
    NotServed,
    SourceError,
    Throttled,
    Unreachable,
)
from cxrsync.sources.base import Answer, PastEnd, Unchanged


class Action(Enum):
    """What follows an answer or an error."""

    APPEND = "the bytes continue the partial"
    BEGIN = "the partial is void; the bytes are the file from its beginning"
    RESTART = "the partial is void; request the file again from byte 0"
    COMPLETE = "no byte is missing at the end; the digest decides"
    UNCHANGED = "the file still has the validator of the request"
    RETRY = "request again after the backoff, as often as the retry budget allows"
    WAIT = "perhaps the server is away: probe it for all connections; else RETRY"
    PROBE_ACCESS = "perhaps access is gone: probe it for all connections; else FILE_FAILED"
    FILE_FAILED = "a final answer: this file cannot be fetched"
    RUN_FAILED = "no file can be fetched"


@dataclass(frozen=True, slots=True)
class LocalState:
    """What is on the disk of a file, and how its last requests ended.

    ``offset``: the first byte of the request. ``size``: how many bytes the partial has. ``total``
    and ``validator``: those of the object that the bytes belong to, None if not known.
    ``progress``: bytes arrived since the request was made. ``failures``: how many requests failed
    before this one, without a byte in between.
    """

    offset: int = 0
    size: int = 0
    total: int | None = None
    validator: str | None = None
    progress: bool = False
    failures: int = 0


def decide(local: LocalState, answer: Answer | SourceError) -> tuple[Action, str]:
    """What to do about an answer, and the reason if there is one to tell."""
    if isinstance(answer, SourceError):
        return _after(local, answer), str(answer)
    if isinstance(answer, Unchanged):
        return Action.UNCHANGED, ""
    if isinstance(answer, PastEnd):
        if answer.total == local.offset >= local.size and local.total is None:
            return Action.COMPLETE, ""  # an answer without a length ended where the file ends
        return Action.RESTART, f"the source's file ends at or before byte {local.offset}"
    if answer.start == local.offset:
        if _differ(local.total, answer.total) or _differ(local.validator, answer.validator):
            # Also if no byte is here yet: a wrong total that is believed would truncate the file.
            reason = "the source's file has another size or validator"
            return (Action.RESTART if local.size or local.offset else Action.BEGIN), reason
        return Action.APPEND, ""
    if answer.start == 0:
        return Action.BEGIN, "the source sends the file only from its beginning"
    return Action.RETRY, f"the source sent bytes from {answer.start} instead of {local.offset}"


def _after(local: LocalState, problem: SourceError) -> Action:
    if isinstance(problem, NotServed | FileDenied):
        return Action.FILE_FAILED
    if isinstance(problem, AccessDenied):
        return Action.PROBE_ACCESS
    if isinstance(problem, Unreachable | Throttled):
        return Action.WAIT
    if isinstance(problem, Interrupted):
        # Broken again without a byte: a proxy whose server is down does that.
        return Action.RETRY if local.progress or not local.failures else Action.WAIT
    return Action.RETRY if isinstance(problem, InvalidResponse) else Action.RUN_FAILED


def _differ(known: object, new: object) -> bool:
    return known is not None and new is not None and known != new
