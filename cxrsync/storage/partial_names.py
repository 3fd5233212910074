"""What the names in a folder of partials say: whose they are, and what becomes of them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from cxrsync.storage.atomic_write import COPY_SUFFIX, UNFINISHED


class Lease(Protocol):
    """A lock that we hold, as far as its partials are concerned."""

    @property
    def token(self) -> str:
        """What the names bear that this run works on."""

    def guard(self) -> None:
        """Prove that we hold it, if that is not certain. Raises LockLost, DiskError."""

    def check(self) -> None:
        """Prove that we hold it. Raises LockLost, DiskError."""


def claimed_name(name: str, token: str) -> str:
    """What the partial ``name`` is called while the lock's owner with this token works on it."""
    return f"{name}.{token}"


_NAME = re.compile(r"(?P<base>[^.]+)(?:\.(?P<token>[0-9a-f]{32}))?(?P<sidecar>\.json)?", re.ASCII)


class LeftoverAction(Enum):
    """What becomes of a name in a folder of partials when its lock was taken."""

    KEEP = "at rest, and ours as it is"
    RENAME = "its owner has ended: it gets its name at rest"
    COPY = "its owner may wake up: it is copied, and then unlinked"
    DELETE = "half made: of no use to anybody"
    IGNORE = "none of ours"


@dataclass(frozen=True, slots=True)
class Leftover:
    """A name as it was left: whose bytes, whose token ("": at rest), data or sidecar."""

    base: str
    token: str
    is_sidecar: bool = False

    @property
    def name(self) -> str:
        data = claimed_name(self.base, self.token) if self.token else self.base
        return f"{data}.json" if self.is_sidecar else data


def read_name(name: str) -> Leftover | None:
    """What a name says; None where it is none of a partial or its sidecar."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    return Leftover(found["base"], found["token"] or "", found["sidecar"] is not None)


def action_for(
    name: str, ended: Collection[str], *, rest_is_safe: bool, only: str | None = None
) -> LeftoverAction:
    """What becomes of ``name``. ``ended``: tokens of owners that have certainly ended, and our own;
    ``rest_is_safe``: nobody can be at work on what lies at rest; ``only``: in this folder no other
    file is on its way."""
    if COPY_SUFFIX in name or name.endswith(UNFINISHED):
        return LeftoverAction.DELETE
    left = read_name(name)
    if left is None or (only is not None and left.base != only):
        return LeftoverAction.IGNORE
    if not left.token:
        return LeftoverAction.KEEP if rest_is_safe else LeftoverAction.COPY
    return LeftoverAction.RENAME if left.token in ended else LeftoverAction.COPY
