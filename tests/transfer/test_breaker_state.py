"""Whether the server is there: what a refusal, an answer, and bytes tell of it."""

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrsync.transfer.breaker_state import FIRST_ANSWER_SECONDS, BreakerState

many = settings(deadline=None, max_examples=200, derandomize=True)


def served(under_way: int = 1, give_up_after: float = 1000.0) -> BreakerState:
    """A server that has answered at 0 s, with so many answers under way."""
    breaker = BreakerState(give_up_after)
    breaker.answered(breaker.asked(0.0), 0.0, under_way)
    return breaker


def refuse(breaker: BreakerState, now: float, **more: object) -> float | None:
    return breaker.refused(breaker.asked(now), now, 1.0, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bytes_at", "under_way", "is_open"),
    [
        ((), 0, True),  # nothing has come since
        ((), 8, True),
        ((10.1,), 8, True),  # it was under way already
        ((10.5, 11.0), 8, False),
        ((10.5, 11.0), 7, False),  # the one that ended may be counted there still
        ((10.5, 11.0), 6, True),
    ],
)
def test_a_probe_that_is_refused(
    bytes_at: tuple[float, ...], under_way: int, is_open: bool
) -> None:
    breaker = served(8)
    refuse(breaker, 10.0)
    for now in bytes_at:
        breaker.flowing(now)
    refuse(breaker, 11.2, under_way=under_way, by_probe=True)
    assert breaker.is_open is is_open


def test_what_flowed_for_a_while_after_the_refusal_may_have_ended() -> None:
    breaker = served(8)
    refuse(breaker, 10.0)
    breaker.flowing(13.0)
    refuse(breaker, 14.0, under_way=8, by_probe=True)
    assert not breaker.is_open
    refuse(breaker, 18.0, under_way=8, by_probe=True)
    assert breaker.is_open


def test_only_a_probe_proves_it() -> None:
    breaker = served(8)
    for now in range(10, 100, 10):
        refuse(breaker, now)
    assert not breaker.is_open


def test_the_first_answer_after_an_outage() -> None:
    breaker = served()
    refuse(breaker, 10.0)
    refuse(breaker, 11.0, by_probe=True)
    assert breaker.answered(breaker.asked(20.0), 20.1)
    assert not breaker.is_open
    assert breaker.hold(20.1) == 0
    assert not breaker.answered(breaker.asked(21.0), 21.1)


@pytest.mark.parametrize(
    ("asked", "bytes_at", "over"),
    [
        (11.0, (), True),  # the first probe is answered: it was short
        (11.0, (10.6,), False),  # others were served meanwhile
        (9.9, (), False),  # so was this one: it was asked before the refusal
    ],
)
def test_an_outage_that_no_probe_met(asked: float, bytes_at: tuple[float, ...], over: bool) -> None:
    breaker = served()
    request = breaker.asked(asked)
    refuse(breaker, 10.0)
    for now in bytes_at:
        breaker.flowing(now)
    assert breaker.answered(request, 11.1) is over


def test_who_may_ask() -> None:
    breaker = served()
    assert breaker.hold(10.0) == 0
    refuse(breaker, 10.0)
    assert breaker.hold(10.0) == inf
    breaker.flowing(10.5)
    assert breaker.hold(10.5) == 0  # it serves others
    assert breaker.hold(13.0) == inf  # no more
    refuse(breaker, 13.0, by_probe=True)
    breaker.flowing(14.0)
    assert breaker.hold(14.0) == inf  # that it is away has been proved


def test_when_the_probe_asks() -> None:
    breaker = served()
    waits = []
    now = 10.0
    for _ in range(8):
        waits.append(refuse(breaker, now, by_probe=True))
        now += breaker.probe_in(now)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    breaker.flowing(now + 50)
    assert breaker.probe_in(now + 50) == 0  # the line is back


def test_several_refusals_are_waited_for_once() -> None:
    breaker = served()
    assert [refuse(breaker, 10.0) for _ in range(3)] == [1, None, None]
    assert breaker.probe_in(10.0) == 1


def test_a_wish_counts_for_all_and_for_as_long_as_the_run_waits() -> None:
    breaker = served(give_up_after=100.0)
    breaker.heed(0.0, 0.0, 10.0)
    assert (breaker.hold(0.0), breaker.probe_in(0.0)) == (10, 10)
    breaker.heed(0.0, 1.0, 20.0)
    assert breaker.hold(0.0) == 22  # whoever was told the same comes at another moment
    breaker.heed(0.0, 1.0, 101.0)
    assert breaker.hold(0.0) == 22


def test_when_it_is_hopeless() -> None:
    breaker = served(give_up_after=100.0)
    refuse(breaker, 10.0)
    assert not breaker.is_hopeless(109.9)
    assert breaker.is_hopeless(110.0)
    assert not breaker.is_hopeless(50.0, wish=60.0)
    assert breaker.is_hopeless(50.1, wish=60.0)
    breaker.flowing(60.0)
    assert not breaker.is_hopeless(110.0)


def test_before_the_first_answer_it_is_hopeless_sooner() -> None:
    breaker = BreakerState(1000.0)
    refuse(breaker, 0.0)
    assert not breaker.is_hopeless(FIRST_ANSWER_SECONDS - 0.1)
    assert breaker.is_hopeless(FIRST_ANSWER_SECONDS)
    assert not breaker.is_hopeless(FIRST_ANSWER_SECONDS, wish=60.0)  # it is there, and says when


@many
@given(
    st.floats(1, 7200),
    st.lists(
        st.tuples(st.floats(0, 100), st.floats(0, 1), st.none() | st.floats(-10, 20_000)),
        min_size=1,
        max_size=40,
    ),
)
def test_the_probe_never_waits_past_the_end_of_patience(
    patience: float, refusals: list[tuple[float, float, float | None]]
) -> None:
    breaker = served(give_up_after=patience)
    now = began = 5.0
    for later, jitter, wish in refusals:
        breaker.refused(breaker.asked(now), now, jitter, wish, by_probe=True)
        if breaker.is_hopeless(now, wish):
            assert now + max(wish or 0.0, 0.0) >= began + patience - 1e-6
            break
        now += breaker.probe_in(now)
        assert now <= began + patience + 1e-6
        now = min(now + later, began + patience)
