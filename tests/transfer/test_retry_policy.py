"""How long to wait and when to give up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrsync.transfer.rate_limit import free_at
from cxrsync.transfer.retry_policy import RetryState, backoff, next_delay

many = settings(deadline=None, max_examples=200, derandomize=True)


@pytest.mark.parametrize(
    ("failures", "jitter", "seconds"),
    [
        (0, 1.0, 1.0),
        (1, 0.0, 0.5),
        (1, 1.0, 1.0),
        (2, 1.0, 2.0),
        (3, 0.5, 3.0),
        (6, 1.0, 32.0),
        (7, 1.0, 60.0),  # no longer than a minute
        (7, 0.0, 30.0),
        (10**9, 1.0, 60.0),
    ],
)
def test_pause(failures: int, jitter: float, seconds: float) -> None:
    assert backoff(failures, jitter) == seconds


@pytest.mark.parametrize(
    ("failures", "retries", "wish", "seconds"),
    [
        (1, 5, 0.0, 1.0),
        (5, 5, 0.0, 16.0),
        (6, 5, 0.0, None),
        (1, 0, 0.0, None),  # --retries 0: the first failure is the last
        (1, 5, 120.0, 120.0),
        (1, 5, -3.0, 1.0),  # it has been waited for already
        (4, 5, 2.0, 8.0),  # a wish is a least, not a most
        (6, 5, 120.0, None),  # nor does it buy another attempt
        (1, 5, 600.0, 600.0),
        (1, 5, 600.1, None),  # longer than the run waits for any server
        (1, 5, 86_400.0, None),
    ],
)
def test_next_step(failures: int, retries: int, wish: float, seconds: float | None) -> None:
    assert next_delay(RetryState(failures), retries, 1.0, wish, longest=600.0) == seconds


def test_a_file_that_is_to_wait_for_long_is_put_off() -> None:
    assert next_delay(RetryState(1), 5, 1.0, 900.0) == 900.0
    assert next_delay(RetryState(1), 5, 1.0, 901.0) is None


def attempts(retries: int, progress: list[bool]) -> int:
    """How many of these failures a file lives through."""
    history = RetryState()
    for survived, arrived in enumerate(progress):
        history = history.failed(progress=arrived)
        if next_delay(history, retries, 0.5) is None:
            return survived
    return len(progress)


def test_bytes_refill_the_budget() -> None:
    assert attempts(3, [False] * 10) == 3
    assert attempts(3, [True] * 1000) == 1000  # a line that breaks every megabyte gets there
    assert attempts(3, [False, False, False, True, False, False, False]) == 6
    assert attempts(1, [False, True, False]) == 2


@many
@given(st.integers(0, 50), st.floats(0, 1), st.floats(-10, 1e6))
def test_the_pause_has_bounds(failures: int, jitter: float, wish: float) -> None:
    wait = next_delay(RetryState(failures), 50, jitter, wish)
    if wait is None:
        assert wish > 900
    else:
        assert 0.5 <= wait <= 900
        assert wait >= backoff(failures, 0.0)
    assert backoff(failures, jitter) <= backoff(failures + 1, jitter)


@many
@given(st.integers(0, 8), st.lists(st.booleans(), max_size=40))
def test_given_up_is_what_fails_too_often_in_a_row(retries: int, progress: list[bool]) -> None:
    row, expected = 0, len(progress)
    for survived, arrived in enumerate(progress):
        row = 1 if arrived else row + 1
        if row > retries:
            expected = survived
            break
    assert attempts(retries, progress) == expected


# ── one rate for all ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("before", "now", "count", "then"),
    [
        (0.0, 100.0, 100, 100.8),  # idle since long: a moment is saved up, no more
        (100.0, 100.0, 100, 101.0),
        (105.0, 100.0, 100, 106.0),  # behind those who took theirs before
        (99.9, 100.0, 100, 100.9),  # a timer that fired late: the schedule does not move
        (100.0, 100.0, 0, 100.0),
    ],
)
def test_when_a_line_is_free_again(before: float, now: float, count: int, then: float) -> None:
    assert free_at(before, now, count, 100.0) == pytest.approx(then)


@many
@given(
    takes=st.lists(st.tuples(st.integers(1, 10_000), st.floats(0, 0.5)), min_size=5, max_size=50)
)
def test_a_rate_holds_whatever_the_timers_do(takes: list[tuple[int, float]]) -> None:
    rate, now, free = 1000.0, 0.0, 0.0
    carried = 0
    for count, late in takes:
        free = free_at(free, now, count, rate)
        now = max(now, free) + late
        carried += count
        assert carried <= rate * (now + 0.2) + 1e-6
