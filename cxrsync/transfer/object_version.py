"""Which object at the source a partial's bytes belong to, purely: before a request, and after."""

from __future__ import annotations

from dataclasses import replace

from cxrsync.sources.base import Opened
from cxrsync.storage.sidecar import ObjectVersion


def version_at(source: str, bound: ObjectVersion | None) -> ObjectVersion:
    """What ``source`` knows of the version that a partial is bound to.

    A partial from another source keeps its bytes, but its total and validator mean nothing here.
    """
    if bound is None or bound.source != source:
        return ObjectVersion(source, modified=bound.modified if bound is not None else None)
    return bound


def version_after(
    known: ObjectVersion, opened: Opened, total: int | None, *, found: bool
) -> ObjectVersion:
    """The version that an answer names; what it leaves out, an earlier answer may have said."""
    return replace(
        known,
        total=total,
        validator=opened.validator or known.validator,
        modified=known.modified if opened.modified is None else opened.modified,
        found=found,
    )
