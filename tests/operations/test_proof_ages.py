"""Proofs are counted by their age; what cannot be true is the oldest of all, never the youngest."""

import pytest

from cxrsync.model import END_OF_TIME
from cxrsync.operations.proof_ages import DAY, RECENT_DAYS, ProofAges
from cxrsync.report_data import AGE_BOUNDS_DAYS

NOW = 1_795_665_600.0


def counted(*ages_in_days: float) -> ProofAges:
    ages = ProofAges()
    for age in ages_in_days:
        ages.count(NOW - age * DAY, 10, NOW)
    return ages


@pytest.mark.parametrize(
    ("days", "bar"),
    [(0, 0), (0.99, 0), (1, 1), (2.9, 1), (3, 2), (29, 4), (30, 5), (364, 8), (365, 9), (9_000, 9)],
)
def test_each_age_has_its_bar(days: float, bar: int) -> None:
    assert [place for place, files in enumerate(counted(days).counts) if files] == [bar]
    assert len(ProofAges().counts) == len(AGE_BOUNDS_DAYS) + 1


def test_the_oldest_and_those_of_late() -> None:
    ages = counted(0.5, RECENT_DAYS - 0.01, RECENT_DAYS, 90)
    assert ages.oldest == 90 * DAY
    assert (ages.recent_files, ages.recent_bytes) == (2, 20)


@pytest.mark.parametrize("damaged", [None, "yesterday", b"\x00", float("nan"), -5.0, END_OF_TIME])
def test_a_time_that_cannot_be_true_proves_nothing_of_late(damaged: float) -> None:
    ages = ProofAges()
    ages.count(damaged, 10, NOW)
    assert (ages.oldest, ages.recent_files) == (NOW, 0)


def test_a_clock_that_jumped() -> None:
    ages = counted(-400)
    assert (ages.oldest, ages.recent_files) == (0.0, 1)


def test_several_partitions_together() -> None:
    ages = counted(1)
    ages.add(counted(100, 0))
    ages.add(ProofAges())
    assert ages.oldest == 100 * DAY
    assert (sum(ages.counts), ages.recent_files) == (3, 2)
    assert ages.as_data().ages == tuple(ages.counts)
    assert ages.as_json()["oldest_age"] == 100 * DAY


def test_nothing_verified() -> None:
    assert ProofAges().as_json()["oldest_age"] is None
