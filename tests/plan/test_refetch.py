"""How many verified files may be gone from the disk before a pull fetches them again."""

from dataclasses import replace

import pytest

from cxrsync.config.job import UNATTENDED_MAX_REFETCH, Refresh
from cxrsync.config.quantities import Share
from cxrsync.errors import ExitCode, RefusedForSafety
from cxrsync.plan.refetch import MIN_REFETCHED, check_refetch, gone_remarks

NIGHTLY = Refresh(max_refetch=UNATTENDED_MAX_REFETCH)


@pytest.mark.parametrize(
    ("refresh", "gone", "verified", "allowed"),
    [
        (NIGHTLY, 0, 0, True),
        (NIGHTLY, MIN_REFETCHED, 0, True),
        (NIGHTLY, MIN_REFETCHED + 1, 0, False),
        (NIGHTLY, 3771, 377_110 - 3771, True),
        (NIGHTLY, 3773, 377_110 - 3773, False),
        (NIGHTLY, 377_110, 0, False),
        (Refresh(), 377_110, 0, True),  # a person deleted them
        (replace(NIGHTLY, refetch=True), 377_110, 0, True),
        (Refresh(max_refetch=Share(0)), 1, 1000, False),
        (Refresh(max_refetch=Share(5)), 5, 0, True),
        (Refresh(max_refetch=Share(5)), 6, 10_000, False),
        (Refresh(max_refetch=Share(percent=0.0)), 1, 1000, False),
        (Refresh(max_refetch=Share(percent=100.0)), 1000, 0, True),
    ],
)
def test_refetch(refresh: Refresh, gone: int, verified: int, allowed: bool) -> None:
    if allowed:
        check_refetch(refresh, gone, verified, "/data")
        return
    with pytest.raises(RefusedForSafety, match="are gone") as refused:
        check_refetch(refresh, gone, verified, "/data")
    assert refused.value.exit_code is ExitCode.REFUSED
    for word in ("purges", "not mounted", "--refetch"):
        assert word in refused.value.next_step


@pytest.mark.parametrize(
    ("refresh", "gone", "told"),
    [
        (Refresh(), MIN_REFETCHED, True),
        (Refresh(), MIN_REFETCHED - 1, False),
        (Refresh(refetch=True), 377_110, False),  # it was asked for
        (NIGHTLY, MIN_REFETCHED, False),  # a limit protects it
    ],
)
def test_somebody_who_watches_is_told(refresh: Refresh, gone: int, told: bool) -> None:
    assert ["Ctrl-C" in each for each in gone_remarks(refresh, gone, "/data")] == [True] * told
