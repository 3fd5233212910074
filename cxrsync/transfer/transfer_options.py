"""The options of one transfer: which bytes it fetches, and how it treats what is already there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cxrsync.storage.byte_ranges import Range
from cxrsync.storage.partial import Partial


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferOptions:
    """How one file is fetched; the defaults fetch a whole file whose digest is known.

    ``skip_if``: a validator. The source may answer that the file still has it; the transfer is
    then ``unchanged``.
    ``set_aside``: called with a partial whose first bytes had the final name (they may be another
    tool's file) when these bytes prove wrong, instead of discarding them.
    ``only``: fetch these ranges and no other bytes. With ``skip_if`` they are requested even if
    the partial has them, because the request is what compares the validator.
    ``max_bytes``: a larger file fails. ``modified``: the time of the file, if it is known from
    elsewhere; a source that tells the time of the file itself is believed first.
    ``by_digest``: whether the caller verifies a digest afterwards. False for a manifest, whose
    digest nobody publishes: then only a strong validator may join the bytes of several answers.
    Without one each attempt begins at byte 0, in one stream.
    """

    skip_if: str | None = None
    set_aside: Callable[[Partial], None] | None = None
    only: Sequence[Range] | None = None
    max_bytes: int | None = None
    by_digest: bool = True
    modified: float | None = None
