"""The retry policy and the rate limit: how long to wait, and when to give up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.transfer.retry_policy import RetryState, backoff, next_delay

many = settings(max_examples=examples(200))


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
def test_backoff(failures: int, jitter: float, seconds: float) -> None:
    assert backoff(failures, jitter) == seconds


@pytest.mark.parametrize(
    ("failures", "retries", "retry_after", "seconds"),
    [
        (1, 5, 0.0, 1.0),
        (5, 5, 0.0, 16.0),
        (6, 5, 0.0, None),
        (1, 0, 0.0, None),  # --retries 0: the first failure is the last
        (1, 5, 120.0, 120.0),
        (1, 5, -3.0, 1.0),  # it has passed already
        (4, 5, 2.0, 8.0),  # Retry-After is a minimum
        (6, 5, 120.0, None),  # it does not allow another attempt
        (1, 5, 600.0, 600.0),
        (1, 5, 600.1, None),  # longer than the run waits for any server
        (1, 5, 86_400.0, None),
    ],
)
def test_next_delay(failures: int, retries: int, retry_after: float, seconds: float | None) -> None:
    assert (
        next_delay(RetryState(failures), retries, 1.0, retry_after, give_up_after=600.0) == seconds
    )


def test_a_file_with_a_long_retry_after_is_left_to_the_next_pass() -> None:
    assert next_delay(RetryState(1), 5, 1.0, 900.0) == 900.0
    assert next_delay(RetryState(1), 5, 1.0, 901.0) is None


def attempts(retries: int, progress: list[bool]) -> int:
    """After how many of these failures a file is still retried."""
    state = RetryState()
    for survived, arrived in enumerate(progress):
        state = state.failed(progress=arrived)
        if next_delay(state, retries, 0.5) is None:
            return survived
    return len(progress)


def test_bytes_refill_the_retry_budget() -> None:
    assert attempts(3, [False] * 10) == 3
    assert attempts(3, [True] * 1000) == 1000  # a connection that breaks after every megabyte
    assert attempts(3, [False, False, False, True, False, False, False]) == 6
    assert attempts(1, [False, True, False]) == 2


@many
@given(st.integers(0, 50), st.floats(0, 1), st.floats(-10, 1e6))
def test_the_delay_is_bounded(failures: int, jitter: float, retry_after: float) -> None:
    wait = next_delay(RetryState(failures), 50, jitter, retry_after)
    if wait is None:
        assert retry_after > 900
    else:
        assert 0.5 <= wait <= 900
        assert wait >= backoff(failures, 0.0)
    assert backoff(failures, jitter) <= backoff(failures + 1, jitter)


@many
@given(st.integers(0, 8), st.lists(st.booleans(), max_size=40))
def test_a_file_fails_after_too_many_failures_in_a_row(retries: int, progress: list[bool]) -> None:
    in_a_row, expected = 0, len(progress)
    for survived, arrived in enumerate(progress):
        in_a_row = 1 if arrived else in_a_row + 1
        if in_a_row > retries:
            expected = survived
            break
    assert attempts(retries, progress) == expected
