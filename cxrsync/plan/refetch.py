"""Refuse to fetch very many files again that were verified, and are gone from the disk or rotten.

A scratch disk that purged them would be filled, and purged, each night; a disk that is not mounted
would be written to under its mount point; a disk that returns wrong bytes would be filled with
copies.
"""

from __future__ import annotations

from collections.abc import Iterator

from cxrsync import humanize
from cxrsync.config.job import Refresh
from cxrsync.errors import RefusedForSafety

# A percentage of a small tree is soon reached, and so few files are soon fetched.
MIN_REFETCHED = 100


def check_refetch(refresh: Refresh, gone: int, verified: int, root: str) -> None:
    """Check how many files are to be fetched again.

    ``gone``: files that are recorded as verified and are not on the disk. ``verified``: recorded
    files that are there.

    Raises: RefusedForSafety for more of them than ``max_refetch`` allows, unless ``refetch`` is
    set.
    """
    if refresh.max_refetch is None:
        return
    recorded = gone + verified
    most = refresh.max_refetch.of(recorded, MIN_REFETCHED)
    if refresh.refetch or gone <= most:
        return
    raise RefusedForSafety(
        f"{gone:,} of {humanize.files(recorded)} that were verified in {root} are gone "
        f"(--max-refetch {refresh.max_refetch} allows {most:,}): nothing was fetched",
        next_step="Likely causes: a disk that is not mounted, or a scratch disk that purges files. "
        "Mount the disk and run the same command again; or, if the files are to be fetched again, "
        "use `cxrsync pull --refetch`.",
    )


def gone_remarks(refresh: Refresh, gone: int, root: str) -> Iterator[str]:
    """Yield what to say to somebody who watches, and whom no limit protects, of files to fetch
    again: as many as can mean that a disk is not mounted."""
    if refresh.max_refetch is None and not refresh.refetch and gone >= MIN_REFETCHED:
        yield (
            f"{humanize.files(gone)} that were verified in {root}, or copies that replaced them, "
            "are gone, and are fetched again: if a disk is not mounted, press Ctrl-C now"
        )


def check_rotten(refresh: Refresh, rotten: int, verified: int, root: str) -> None:
    """Check how many of the ``verified`` files were found rotten, and are to be fetched again.

    Raises: RefusedForSafety for more of them than ``max_refetch`` allows, unless ``refetch`` is
    set.
    """
    if refresh.max_refetch is None:
        return
    most = refresh.max_refetch.of(verified, MIN_REFETCHED)
    if refresh.refetch or rotten <= most:
        return
    raise RefusedForSafety(
        f"{rotten:,} of {humanize.files(verified)} in {root} have lost their right bytes "
        f"(--max-refetch {refresh.max_refetch} allows {most:,}): they were left as they are",
        next_step="Likely causes: a failing disk or controller, or a program that wrote to the "
        "files. Look at the system's log first; then `cxrsync verify --repair` fetches the files "
        "again.",
    )
