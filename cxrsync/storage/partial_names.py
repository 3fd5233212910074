"""The names in a folder of partials: what each one says, and what to do with it.

* ``<digest>``: an unclaimed partial. No run works on it.
* ``<digest>.<token>``: a claimed partial. The run whose lock has this token works on it.
* The same with ``.json``: its sidecar.
* ``….copy…``, ``….new``: a file that a run did not finish writing.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from cxrsync.storage.atomic_write import COPY_SUFFIX, UNFINISHED


class Lease(Protocol):
    """A lock that we hold, as seen by the partials that it guards."""

    @property
    def token(self) -> str:
        """The token in the names of the partials that this run has claimed."""

    def guard(self) -> None:
        """Prove that we hold the lock, unless that was proved just now. Raises LockLost,
        DiskError."""

    def check(self) -> None:
        """Prove that we hold the lock. Raises LockLost, DiskError."""


def claimed_name(name: str, token: str) -> str:
    """Return the name of the partial ``name`` while the lock's owner with ``token`` works on it."""
    return f"{name}.{token}"


_NAME = re.compile(r"(?P<base>[^.]+)(?:\.(?P<token>[0-9a-f]{32}))?(?P<sidecar>\.json)?", re.ASCII)


class LeftoverAction(Enum):
    """What to do with a name in a folder of partials after its lock was taken."""

    KEEP = "unclaimed, and safe to use as it is"
    RENAME = "its owner has ended: it gets its unclaimed name"
    COPY = "its owner may wake up: it is copied, then unlinked"
    DELETE = "unfinished: of no use to anybody"
    IGNORE = "not a partial of ours"


@dataclass(frozen=True, slots=True)
class Leftover:
    """The meaning of a name: the partial, the token of its owner ("": unclaimed), and whether it
    is the sidecar."""

    base: str
    token: str
    is_sidecar: bool = False

    @property
    def name(self) -> str:
        data = claimed_name(self.base, self.token) if self.token else self.base
        return f"{data}.json" if self.is_sidecar else data


def read_name(name: str) -> Leftover | None:
    """Return the meaning of a name; None if it is neither a partial nor a sidecar."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    return Leftover(found["base"], found["token"] or "", found["sidecar"] is not None)


def action_for(
    name: str, ended: Collection[str], *, unclaimed_is_safe: bool, only: str | None = None
) -> LeftoverAction:
    """Return what to do with ``name``.

    ``ended``: the tokens of owners that certainly ended, and our own. ``unclaimed_is_safe``: no
    run can be working on unclaimed partials. ``only``: the one partial that this folder holds.
    """
    if COPY_SUFFIX in name or name.endswith(UNFINISHED):
        return LeftoverAction.DELETE
    leftover = read_name(name)
    if leftover is None or (only is not None and leftover.base != only):
        return LeftoverAction.IGNORE
    if not leftover.token:
        return LeftoverAction.KEEP if unclaimed_is_safe else LeftoverAction.COPY
    return LeftoverAction.RENAME if leftover.token in ended else LeftoverAction.COPY
