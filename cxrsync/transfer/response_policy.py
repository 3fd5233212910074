"""What to do about an answer, purely: the one table of the protocol.

With :func:`cxrsync.sources.http.responses.interpret_response`, which says what a status and headers
mean, it decides from (request, status, headers, what is on the disk). Tests go through both
together.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cxrsync.errors import (
    AccessDenied,
    FileDenied,
    Interrupted,
    InvalidResponse,
    NotFound,
    SourceError,
    Throttled,
    Unreachable,
)
from cxrsync.sources.base import Answer, PastEnd, Unchanged


class Action(Enum):
    """What an answer leads to."""

    APPEND = "these bytes continue what is here"
    BEGIN = "what is here is void; these bytes are the file from its beginning"
    RESTART = "what is here is void; ask again from zero"
    COMPLETE = "nothing is missing behind this; the digest will tell"
    UNCHANGED = "the file is still the one that we asked about"
    RETRY = "ask again after a pause, as often as the budget allows"
    WAIT = "perhaps the whole server is away: ask it, for all; else RETRY"
    ASK_ACCESS = "perhaps nobody is let in any more: ask, for all; else FILE_FAILED"
    FILE_FAILED = "an answer, not an accident: this file will not come"
    RUN_FAILED = "no file will come"


@dataclass(frozen=True, slots=True)
class LocalState:
    """What is on the disk of a file, and how the asking for it went.

    ``at``: the byte from which was asked; ``size``: how many bytes are here; ``total`` and
    ``validator``: what they belong to, None where not known; ``progress``: bytes came since the
    request was made; ``failures``: in a row before this one, without a byte between them.
    """

    at: int = 0
    size: int = 0
    total: int | None = None
    validator: str | None = None
    progress: bool = False
    failures: int = 0


def decide(held: LocalState, answer: Answer | SourceError) -> tuple[Action, str]:
    """What to do, and why where that is not plain."""
    if isinstance(answer, SourceError):
        return _after(held, answer), str(answer)
    if isinstance(answer, Unchanged):
        return Action.UNCHANGED, ""
    if isinstance(answer, PastEnd):
        if answer.total == held.at >= held.size and held.total is None:
            return Action.COMPLETE, ""  # it ended without a length, just where it should
        return Action.RESTART, f"nothing at byte {held.at} of it"
    if answer.start == held.at:
        if _differ(held.total, answer.total) or _differ(held.validator, answer.validator):
            # Also where no byte is here yet: a total that is believed is a file that is cut.
            why = "another size or validator"
            return (Action.RESTART if held.size or held.at else Action.BEGIN), why
        return Action.APPEND, ""
    if answer.start == 0:
        return Action.BEGIN, "only ever from its beginning"
    return Action.RETRY, f"asked for bytes from {held.at}, got {answer.start}"


def _after(held: LocalState, problem: SourceError) -> Action:
    if isinstance(problem, NotFound | FileDenied):
        return Action.FILE_FAILED
    if isinstance(problem, AccessDenied):
        return Action.ASK_ACCESS
    if isinstance(problem, Unreachable | Throttled):
        return Action.WAIT
    if isinstance(problem, Interrupted):
        # Dropped again without a byte: so does a proxy whose server is down.
        return Action.RETRY if held.progress or not held.failures else Action.WAIT
    return Action.RETRY if isinstance(problem, InvalidResponse) else Action.RUN_FAILED


def _differ(known: object, told: object) -> bool:
    return known is not None and told is not None and known != told
