"""What a pull does about smaller copies: which images need one, and which files stay replaced.

Pure. :func:`need_of` is the table of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from cxrsync import humanize
from cxrsync.config.job import Job
from cxrsync.errors import UsageError
from cxrsync.model import CopyRecord
from cxrsync.plan.survey import FileStatus

# So many files are published together, and so many originals removed, where originals are dropped:
# small, because they take space meanwhile.
DROPPED_BATCH = 8
_BYTES_PER_PIXEL = 0.15


@dataclass(frozen=True, slots=True)
class CopyOrder:
    """What a run wants of smaller copies.

    ``pixels``: of the copies that it makes (``--resize``); None: it makes none. ``drop``: the
    copies replace their originals (``--drop-originals``). ``keep``: nobody watches the run: files
    that copies have replaced stay so. ``refetch``: fetch them again even so (``--refetch``).
    ``in_flight``: how many originals there are at a time at most, if they are dropped.
    """

    pixels: int | None = None
    drop: bool = False
    keep: bool = False
    refetch: bool = False
    in_flight: int = 0


def order_of(job: Job, workers: int = 1) -> CopyOrder:
    """Return what a job wants of smaller copies, with so many workers."""
    # Those that arrive; that wait to be published (two batches), or are; that wait for a worker,
    # have one, or have just had it; that wait to go, or go.
    in_flight = job.limits.connections + 5 * DROPPED_BATCH + 3 * workers
    refetch = job.refresh.refetch
    return CopyOrder(job.resize, job.drop_originals, job.keep_replaced, refetch, in_flight)


def copy_bytes(pixels: int) -> int:
    """Return how many bytes to expect of a copy: an X-ray of 512 pixels takes about 40 kB, and its
    longer side is a fifth longer."""
    return round(1.2 * pixels * pixels * _BYTES_PER_PIXEL)


class Need(Enum):
    """What a file needs. ``COPY``: its copy; the file itself is verified. ``OTHER_COPY``: it was
    replaced by a copy of another size than the one that is to be made."""

    NOTHING = "nothing"
    COPY = "copy"
    HASH = "hash"
    FETCH = "fetch"
    DERIVED = "derived"
    OTHER_COPY = "other copy"


def need_of(
    status: FileStatus, copy: CopyRecord | None, order: CopyOrder, *, is_image: bool, has_own: bool
) -> Need:
    """Return what a file needs.

    ``copy``: the one that replaced it, as recorded. ``is_image``: a copy can be made of it.
    ``has_own``: the copy that the order wants is there, beside the file.
    """
    if status is FileStatus.PRESENT:
        is_done = not is_image or order.pixels is None or (has_own and not order.drop)
        return Need.NOTHING if is_done else Need.COPY
    if status is FileStatus.DERIVED and copy is not None:
        return _need_of_replaced(copy, order)
    return Need.HASH if status is FileStatus.HASH else Need.FETCH


def _need_of_replaced(copy: CopyRecord, order: CopyOrder) -> Need:
    is_wanted = order.pixels in {None, copy.pixels}
    if not (order.drop or order.keep):
        return Need.FETCH
    if is_wanted and (order.drop or not order.refetch):
        return Need.DERIVED
    return Need.FETCH if order.refetch else Need.OTHER_COPY


def check_sizes(order: CopyOrder, others: int, size: int) -> None:
    """Check how many files were replaced by copies of another size; ``size`` is one of theirs.

    Raises: UsageError if there are any.
    """
    if others:
        raise UsageError(
            f"{humanize.files(others)} {'was' if others == 1 else 'were'} replaced by copies of "
            f"{size} pixels: a copy of {order.pixels} pixels can only be made of the original, "
            "which is not here any more",
            next_step=f"Use --resize {size}; or, to fetch the originals again for the other size, "
            "add --refetch.",
        )


def remarks(order: CopyOrder, returning: int, kept: int) -> Iterator[str]:
    """Yield what to say of files that copies have replaced: ``returning`` are fetched again,
    ``kept`` stay replaced."""
    if returning:
        one = returning == 1
        which = "1 original that a copy has" if one else f"{returning:,} originals that copies have"
        text = f"{which} replaced {'is' if one else 'are'} fetched again"
        if order.refetch:
            yield f"{text}, by --refetch"
        else:
            yield f"{text}: to leave {'it' if one else 'them'} replaced, use --drop-originals"
    if kept and not order.drop:
        stays = "stays" if kept == 1 else "stay"
        text = f"{humanize.as_copies(kept)} only, and {stays} so"
        yield f"{text}; --refetch fetches the originals again"
