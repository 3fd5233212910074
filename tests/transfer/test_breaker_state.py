"""Whether the server is away: what failures, answers and bytes say about it."""

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.transfer.breaker_state import FIRST_ANSWER_SECONDS, BreakerState

many = settings(max_examples=examples(200))


def served(active: int = 1, give_up_after: float = 1000.0) -> BreakerState:
    """A server that has answered at 0 s, with so many active answers."""
    breaker = BreakerState(give_up_after)
    breaker.record_success(breaker.begin_request(0.0), 0.0, active)
    return breaker


def fail(breaker: BreakerState, now: float, **more: object) -> float | None:
    return breaker.record_failure(breaker.begin_request(now), now, 1.0, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bytes_at", "active", "is_open"),
    [
        ((), 0, True),  # nothing has come since
        ((), 8, True),
        ((10.1,), 8, True),  # these bytes were on their way already
        ((10.5, 11.0), 8, False),
        ((10.5, 11.0), 7, False),  # an answer that has ended may still be counted
        ((10.5, 11.0), 6, True),
    ],
)
def test_a_probe_that_fails(bytes_at: tuple[float, ...], active: int, is_open: bool) -> None:
    breaker = served(8)
    fail(breaker, 10.0)
    for now in bytes_at:
        breaker.record_bytes(now)
    fail(breaker, 11.2, active=active, by_probe=True)
    assert breaker.is_open is is_open


def test_an_answer_that_went_on_after_the_failure_may_have_ended() -> None:
    breaker = served(8)
    fail(breaker, 10.0)
    breaker.record_bytes(13.0)
    fail(breaker, 14.0, active=8, by_probe=True)
    assert not breaker.is_open
    fail(breaker, 18.0, active=8, by_probe=True)
    assert breaker.is_open


def test_only_a_probe_opens_the_breaker() -> None:
    breaker = served(8)
    for now in range(10, 100, 10):
        fail(breaker, now)
    assert not breaker.is_open


def test_the_first_answer_after_an_outage() -> None:
    breaker = served()
    fail(breaker, 10.0)
    fail(breaker, 11.0, by_probe=True)
    assert breaker.record_success(breaker.begin_request(20.0), 20.1)
    assert not breaker.is_open
    assert breaker.seconds_until_allowed(20.1) == 0
    assert not breaker.record_success(breaker.begin_request(21.0), 21.1)


@pytest.mark.parametrize(
    ("began", "bytes_at", "is_over"),
    [
        (11.0, (), True),  # the first probe is answered: it was short
        (11.0, (10.6,), False),  # other requests were served meanwhile
        (9.9, (), False),  # this request began before the failure
    ],
)
def test_an_outage_without_a_probe(
    began: float, bytes_at: tuple[float, ...], is_over: bool
) -> None:
    breaker = served()
    request = breaker.begin_request(began)
    fail(breaker, 10.0)
    for now in bytes_at:
        breaker.record_bytes(now)
    assert breaker.record_success(request, 11.1) is is_over


def test_when_requests_are_allowed() -> None:
    breaker = served()
    assert breaker.seconds_until_allowed(10.0) == 0
    fail(breaker, 10.0)
    assert breaker.seconds_until_allowed(10.0) == inf
    breaker.record_bytes(10.5)
    assert breaker.seconds_until_allowed(10.5) == 0  # other requests are served
    assert breaker.seconds_until_allowed(13.0) == inf  # not any more
    fail(breaker, 13.0, by_probe=True)
    breaker.record_bytes(14.0)
    assert breaker.seconds_until_allowed(14.0) == inf  # the breaker is open


def test_when_the_probe_is_due() -> None:
    breaker = served()
    waits = []
    now = 10.0
    for _ in range(8):
        waits.append(fail(breaker, now, by_probe=True))
        now += breaker.seconds_until_probe(now)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    breaker.record_bytes(now + 50)
    assert breaker.seconds_until_probe(now + 50) == 0  # the connection is back


def test_several_failures_lead_to_one_wait() -> None:
    breaker = served()
    assert [fail(breaker, 10.0) for _ in range(3)] == [1, None, None]
    assert breaker.seconds_until_probe(10.0) == 1


def test_retry_after_holds_for_all_requests_unless_the_run_gives_up_before() -> None:
    breaker = served(give_up_after=100.0)
    breaker.obey_retry_after(0.0, 0.0, 10.0)
    assert (breaker.seconds_until_allowed(0.0), breaker.seconds_until_probe(0.0)) == (10, 10)
    breaker.obey_retry_after(0.0, 1.0, 20.0)
    assert (
        breaker.seconds_until_allowed(0.0) == 22
    )  # clients that got the same value come back at different moments
    breaker.obey_retry_after(0.0, 1.0, 101.0)
    assert breaker.seconds_until_allowed(0.0) == 22


def test_when_the_run_gives_up() -> None:
    breaker = served(give_up_after=100.0)
    fail(breaker, 10.0)
    assert not breaker.should_give_up(109.9)
    assert breaker.should_give_up(110.0)
    assert not breaker.should_give_up(50.0, retry_after=60.0)
    assert breaker.should_give_up(50.1, retry_after=60.0)
    breaker.record_bytes(60.0)
    assert not breaker.should_give_up(110.0)


def test_before_the_first_answer_the_run_gives_up_sooner() -> None:
    breaker = BreakerState(1000.0)
    fail(breaker, 0.0)
    assert not breaker.should_give_up(FIRST_ANSWER_SECONDS - 0.1)
    assert breaker.should_give_up(FIRST_ANSWER_SECONDS)
    assert not breaker.should_give_up(
        FIRST_ANSWER_SECONDS, retry_after=60.0
    )  # the server is there, and says when to come back


@many
@given(
    st.floats(1, 7200),
    st.lists(
        st.tuples(st.floats(0, 100), st.floats(0, 1), st.none() | st.floats(-10, 20_000)),
        min_size=1,
        max_size=40,
    ),
)
def test_the_probe_never_waits_longer_than_the_run(
    patience: float, failures: list[tuple[float, float, float | None]]
) -> None:
    breaker = served(give_up_after=patience)
    now = began = 5.0
    for later, jitter, retry_after in failures:
        breaker.record_failure(breaker.begin_request(now), now, jitter, retry_after, by_probe=True)
        if breaker.should_give_up(now, retry_after):
            assert now + max(retry_after or 0.0, 0.0) >= began + patience - 1e-6
            break
        now += breaker.seconds_until_probe(now)
        assert now <= began + patience + 1e-6
        now = min(now + later, began + patience)
