"""What a wrong digest means: the wire's fault, the publisher's, or nobody knows yet."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrsync.sync.mismatch import Observation, Verdict, judge

many = settings(max_examples=200)

A, B, C, D = (Observation(letter * 64, whole=True) for letter in "abcd")
PART_A = Observation(A.digest, whole=False)
PART_B = Observation(B.digest, whole=False)


@pytest.mark.parametrize(
    ("seen", "known", "verdict"),
    [
        ([A], None, Verdict.AGAIN),
        ([A, A], None, Verdict.CONTRADICTED),
        ([A, B], None, Verdict.AGAIN),
        ([A, B, A], None, Verdict.CONTRADICTED),
        ([A, B, B], None, Verdict.CONTRADICTED),
        ([A, B, C], None, Verdict.CORRUPTED),
        ([A, B, C, D], None, Verdict.CORRUPTED),
        # A prefix of another run or tool proves nothing, however often.
        ([PART_A], None, Verdict.AGAIN),
        ([PART_A, PART_A, PART_A, PART_A], None, Verdict.AGAIN),
        ([PART_A, A], None, Verdict.AGAIN),
        ([PART_A, A, A], None, Verdict.CONTRADICTED),
        ([A, PART_B, A], None, Verdict.CONTRADICTED),
        ([A, PART_A], None, Verdict.AGAIN),
        # What an earlier run saw twice need be seen once only.
        ([A], A.digest, Verdict.CONTRADICTED),
        ([A], B.digest, Verdict.AGAIN),
        ([PART_A], A.digest, Verdict.AGAIN),
        ([A, B], A.digest, Verdict.AGAIN),  # the last is what the source has now
        ([B, A], A.digest, Verdict.CONTRADICTED),
        ([A, B, C], A.digest, Verdict.CORRUPTED),
    ],
)
def test_verdict(seen: list[Observation], known: str | None, verdict: Verdict) -> None:
    assert judge(seen, known) is verdict


observations = st.sampled_from([A, B, C, D, PART_A, PART_B])


@many
@given(st.lists(observations, min_size=1, max_size=8), st.sampled_from([None, A.digest]))
def test_three_whole_attempts_decide(seen: list[Observation], known: str | None) -> None:
    verdict = judge(seen, known)
    whole = [each.digest for each in seen if each.whole]
    if len(whole) >= 3:
        assert verdict is not Verdict.AGAIN
    if not whole:
        assert verdict is Verdict.AGAIN
    if verdict is Verdict.CONTRADICTED:  # never on one look alone
        assert (*whole, known).count(whole[-1]) >= 2
