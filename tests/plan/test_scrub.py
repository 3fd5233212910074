"""Scrubbing: which files are due tonight; no history of nights lets a proof grow too old."""

from array import array
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.plan.scrub import MAX_SHARES, NIGHT, Proofs, due_share, horizon, oldest_first

NOW = 1_795_000_000.0
MONTH = 30 * NIGHT
many = settings(max_examples=examples(150))


def proofs_of(*files: tuple[int, float]) -> Proofs:
    """Sizes, and ages in nights."""
    proofs = Proofs()
    for size, nights in files:
        proofs.add(size, NOW - nights * NIGHT)
    return proofs


def due(proofs: Proofs, period: float = MONTH, now: float = NOW) -> list[int]:
    return list(due_share(proofs, period, now))


def bytes_of(proofs: Proofs, indices: Sequence[int]) -> int:
    return sum(proofs.sizes[index] for index in indices)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], []),
        ([(10, 0)], []),
        ([(10, 25.9)], []),  # a file is hashed as a whole, so a single one when it has to be
        ([(10, 26)], [0]),
        ([(10, 400)], [0]),
        ([(0, 26)], [0]),
        # 26 files of one size, all of one age: one a night.
        ([(10, 0)] * 26, []),
        ([(10, 1)] * 26, [0]),
        ([(10, 2)] * 25 + [(10, 0)], [0]),
        # Two nights were missed: three shares.
        ([(10, 3)] * 26, [0, 1, 2]),
        # The oldest first, whatever their order.
        ([(10, 0)] * 24 + [(10, 26), (10, 27)], [25, 24]),
        # A new tree with one night behind it is on the line.
        ([(10, age) for age in range(26)], []),
        ([(10, age + 1) for age in range(26)], [25]),
    ],
)
def test_due(files: list[tuple[int, float]], expected: list[int]) -> None:
    assert due(proofs_of(*files)) == expected


@pytest.mark.parametrize(
    ("period", "expected"), [(30, 26), (365, 361), (8, 4), (7, 3.5), (2, 1), (1, 0.5)]
)
def test_horizon(period: float, expected: float) -> None:
    assert horizon(period * NIGHT) == expected * NIGHT


def test_a_period_of_a_day_hashes_everything_each_night() -> None:
    assert len(due(proofs_of(*[(10, 1)] * 40), period=NIGHT)) == 40


@pytest.mark.parametrize("jump", [400 * NIGHT, 31 * NIGHT, -31 * NIGHT, -400 * NIGHT, -NOW])
def test_a_clock_that_jumps_does_not_make_everything_due_at_once(jump: float) -> None:
    proofs = proofs_of(*((10, age % 26) for age in range(2600)))
    share = due_share(proofs, MONTH, NOW + jump)
    assert 0 < bytes_of(proofs, share) <= MAX_SHARES * proofs.bytes / 26 + 20


def test_after_a_jump_the_tree_is_proven_anew_within_a_third_of_the_horizon() -> None:
    proofs = proofs_of(*((10, age % 26) for age in range(260)))
    now = NOW - 1000 * NIGHT
    for _ in range(10):
        for index in due_share(proofs, MONTH, now):
            proofs.times[index] = now
        now += NIGHT
    assert all(now - MONTH <= each <= now for each in proofs.times)


def test_a_clock_that_is_set_back_by_an_hour_is_no_jump() -> None:
    assert due(proofs_of(*[(10, -0.04)] * 26)) == []


@many
@given(
    sizes=st.lists(st.integers(0, 2_000_000), min_size=1, max_size=80),
    gaps=st.lists(st.sampled_from([1, 1, 1, 2, 3]), min_size=20, max_size=60),
    late=st.lists(st.floats(0, 7200), min_size=60, max_size=60),
    period=st.sampled_from([7, 10, 30, 90]),
)
def test_no_proof_gets_older_than_the_period(
    sizes: list[int], gaps: list[int], late: list[float], period: int
) -> None:
    """At most two nights are missed in a row, and runs begin up to two hours late."""
    proofs = proofs_of(*((size, 0) for size in sizes))
    at = NOW
    for number, gap in enumerate(gaps):
        at += gap * NIGHT
        now = at + late[number % len(late)]
        assert now - min(proofs.times) < period * NIGHT
        for index in due_share(proofs, period * NIGHT, now):
            proofs.times[index] = now


@many
@given(ages=st.lists(st.sampled_from([0.0, 1.5, 30.0, 5e-324]) | st.floats(0, 1e12), max_size=60))
def test_the_oldest_come_first(ages: list[float]) -> None:
    expected = sorted(range(len(ages)), key=ages.__getitem__, reverse=True)
    assert list(oldest_first(array("d", ages))) == expected


@many
@given(
    sizes=st.lists(st.integers(0, 2_000_000), min_size=1, max_size=40),
    gaps=st.lists(st.sampled_from([1, 1, 2, 3]), min_size=20, max_size=40),
    period=st.sampled_from([1, 2, 3, 4, 5, 6, 7]),
)
def test_short_periods_bear_fewer_missed_nights(
    sizes: list[int], gaps: list[int], period: int
) -> None:
    """From 6 days on two in a row, from 4 on one, below that none. The runs begin on time."""
    missed = 2 if period >= 6 else 1 if period >= 4 else 0
    proofs = proofs_of(*((size, 0) for size in sizes))
    now = NOW
    for gap in gaps:
        now += min(gap, missed + 1) * NIGHT
        assert now - min(proofs.times) <= period * NIGHT
        for index in due_share(proofs, period * NIGHT, now):
            proofs.times[index] = now


@many
@given(
    files=st.lists(
        st.tuples(st.integers(0, 10**7), st.floats(-500, 500)), min_size=1, max_size=120
    ),
    jump=st.floats(-1000, 1000),
    period=st.floats(0.5, 400),
)
def test_a_night_has_at_most_three_shares(
    files: list[tuple[int, float]], jump: float, period: float
) -> None:
    proofs = proofs_of(*files)
    share = due_share(proofs, period * NIGHT, NOW + jump * NIGHT)
    assert len(set(share)) == len(share)
    total = sum(size + 4096 for size, _age in files)
    most = MAX_SHARES * total * NIGHT / horizon(period * NIGHT) + max(proofs.sizes) + 4096
    assert sum(proofs.sizes[index] + 4096 for index in share) <= most


@many
@given(
    ages=st.lists(st.floats(0, 60), min_size=1, max_size=60),
    stops=st.lists(st.integers(0, 5), max_size=6),
)
def test_a_run_that_is_stopped_goes_on_with_the_rest(ages: list[float], stops: list[int]) -> None:
    """Together the parts hash what one run would have hashed."""
    whole = due(proofs_of(*((10, age) for age in ages)))
    proofs = proofs_of(*((10, age) for age in ages))
    done: list[int] = []
    for stop in stops:
        for index in due(proofs)[:stop]:
            proofs.times[index] = NOW
            done.append(index)
    done += due(proofs)
    assert len(set(done)) == len(done)
    assert done[: len(whole)] == whole


def test_statistics_of_proofs() -> None:
    proofs = proofs_of((10, 3), (20, 1), (40, -400))
    assert proofs.oldest(NOW) == 3 * NIGHT
    assert (len(proofs), proofs.bytes) == (3, 70)
    assert Proofs().oldest(NOW) is None
