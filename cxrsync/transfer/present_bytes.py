"""Which bytes of a partial are not requested again."""

from __future__ import annotations

from cxrsync.storage.byte_ranges import Range
from cxrsync.storage.partial import Partial
from cxrsync.transfer.transfer_options import TransferOptions


def present_bytes(
    partial: Partial, options: TransferOptions, total: int | None, *, confirmed: bool
) -> list[Range]:
    """Return the ranges that count as present when a transfer begins.

    ``total``: of the file at the present source, as far as the partial knows it. ``confirmed``: the
    source has just said that the partial's validator is still its own.
    """
    if options.only is not None and options.skip_if is not None:
        return []
    unconfirmed = not (options.by_digest or confirmed)
    if unconfirmed and total and partial.complete:
        # A run ended before it could publish this file, perhaps long ago. Requesting the last byte
        # again tells whether the source still has the same file.
        return [(0, total - 1)]
    if partial.object_version is None and partial.size:
        # Bytes of unknown origin: another tool's, or a small file of ours that was complete when a
        # kill came before its publication. Requesting the last byte again gives total, validator
        # and time in the same answer as the rest, whether there is a rest or not.
        return [(0, partial.size - 1)]
    return partial.ranges
