"""What is remembered of the public API between runs: answers for a day, refusals until their end.

PhysioNet rations the API: 100 requests a day for all anonymous users behind one address. Pure: the
bytes of small JSON files in and out; a :class:`Memory` keeps them. What is read back may have been
written by anyone: an odd value counts as absent.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

_FORMAT = 1
_DAY = 86_400.0
# An hour less than a day: a mirror that looks each night at the same time gets a new answer.
_ANSWER_SECONDS = _DAY - 3_600.0
# Without a Retry-After; and at most, since a wrong value must not last for ever.
DEFAULT_PAUSE = 3_600.0
_MAX_PAUSE = 7 * _DAY


class Memory(Protocol):
    """Keeps small files between runs. It never fails: what cannot be kept is forgotten."""

    def read(self, name: str) -> bytes | None:
        """Return what was kept under ``name``, or None."""

    def write(self, name: str, data: bytes) -> None:
        """Keep ``data`` under ``name``."""


class NoMemory:
    """A Memory that forgets everything."""

    def read(self, name: str) -> bytes | None:  # noqa: ARG002
        """Return None."""
        return None

    def write(self, name: str, data: bytes) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the API: ``value`` None means that it knows no such thing (404)."""

    value: Any


def name_of(kind: str, url: str) -> str:
    """Return the name of the file about ``url``."""
    return f"{kind}-{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"


def encode_answer(url: str, now: float, value: object) -> bytes:
    """Return the file that remembers the answer of ``url``."""
    return _encode({"url": url, "asked_at": now, "answer": value})


def decode_answer(data: bytes | None, url: str, now: float) -> Answer | None:
    """Return the answer that was remembered; None if it is of another day, another address, or of
    the future, as after a clock was set back."""
    fields = _decode(data, url)
    asked_at = fields.get("asked_at")
    if (
        not _is_time(asked_at)
        or not 0 <= now - asked_at < _ANSWER_SECONDS
        or "answer" not in fields
    ):
        return None
    return Answer(fields["answer"])


def encode_pause(url: str, now: float, retry_after: float | None) -> bytes:
    """Return the file that remembers until when the API at ``url`` is not to be asked."""
    wait = DEFAULT_PAUSE if retry_after is None else min(retry_after, _MAX_PAUSE)
    return _encode({"url": url, "asked_at": now, "until": now + wait})


def decode_pause(data: bytes | None, url: str, now: float) -> float | None:
    """Return the POSIX time until which the API is not to be asked; None if it may be."""
    fields = _decode(data, url)
    asked_at, until = fields.get("asked_at"), fields.get("until")
    if not _is_time(asked_at) or not _is_time(until) or asked_at > now:
        return None
    return until if now < until <= asked_at + _MAX_PAUSE else None


def _encode(fields: dict[str, object]) -> bytes:
    return json.dumps({"format": _FORMAT, **fields}).encode()


def _decode(data: bytes | None, url: str) -> dict[str, Any]:
    try:
        fields = json.loads(data or b"")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(fields, dict) or fields.get("format") != _FORMAT or fields.get("url") != url:
        return {}
    return fields


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e11
