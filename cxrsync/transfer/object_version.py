"""Which object at the source a partial's bytes belong to, purely: before a request, and after."""

from __future__ import annotations

from dataclasses import replace

from cxrsync.sources.base import Opened
from cxrsync.storage.sidecar import ObjectVersion


def version_at(
    source: str, bound: ObjectVersion | None, modified: float | None = None
) -> ObjectVersion:
    """What ``source`` knows of the version that a partial is bound to.

    A partial from another source keeps its bytes, but its total and validator mean nothing here.
    ``modified``: the time of the file, if it is known from elsewhere.
    """
    if bound is None:
        return ObjectVersion(source, modified=modified)
    return bound if bound.source == source else ObjectVersion(source, modified=bound.modified)


def version_after(
    known: ObjectVersion, opened: Opened, total: int | None, *, found: bool
) -> ObjectVersion:
    """The version that an answer names; what it leaves out, an earlier answer may have said.

    The time of a copy in a store never replaces one that is known.
    """
    is_better = opened.modified is not None and (opened.is_own_time or known.modified is None)
    return replace(
        known,
        total=total,
        validator=opened.validator or known.validator,
        modified=opened.modified if is_better else known.modified,
        found=found,
    )
