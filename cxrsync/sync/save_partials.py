"""Save and close the partials of transfers that end without a verified file."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from cxrsync.errors import CxrsyncError
from cxrsync.storage.partial import Partial
from cxrsync.threads import run_in_thread


async def save_and_close(partials: Iterable[Partial]) -> None:
    """Save and close the partials; ignore their errors, since the run reports what ended it.

    All in one call to a thread, so that a cancellation cannot come between two: when a disk is
    full, the publisher's error often follows that of a transfer, and cancels the task that closes.
    """
    ended = list(partials)

    def save_and_close_all() -> None:
        for partial in ended:
            with suppress(OSError, CxrsyncError):
                partial.save()
            with suppress(OSError):
                partial.close()

    await run_in_thread(save_and_close_all)
