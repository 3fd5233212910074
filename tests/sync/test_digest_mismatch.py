"""The verdict on a wrong digest: a fault of the connection, a mismatch, or not yet known."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.sync.digest_mismatch import Observation, Verdict, judge

many = settings(max_examples=examples(200))

A, B, C, D = (Observation(letter * 64, whole=True) for letter in "abcd")
PART_A = Observation(A.digest, whole=False)
PART_B = Observation(B.digest, whole=False)


@pytest.mark.parametrize(
    ("observations", "known", "verdict"),
    [
        ([A], None, Verdict.RETRY),
        ([A, A], None, Verdict.MISMATCH),
        ([A, B], None, Verdict.RETRY),
        ([A, B, A], None, Verdict.MISMATCH),
        ([A, B, B], None, Verdict.MISMATCH),
        ([A, B, C], None, Verdict.CORRUPTED),
        ([A, B, C, D], None, Verdict.CORRUPTED),
        # Bytes from another run or tool prove nothing, however often.
        ([PART_A], None, Verdict.RETRY),
        ([PART_A, PART_A, PART_A, PART_A], None, Verdict.RETRY),
        ([PART_A, A], None, Verdict.RETRY),
        ([PART_A, A, A], None, Verdict.MISMATCH),
        ([A, PART_B, A], None, Verdict.MISMATCH),
        ([A, PART_A], None, Verdict.RETRY),
        # A mismatch that an earlier run recorded needs only one observation.
        ([A], A.digest, Verdict.MISMATCH),
        ([A], B.digest, Verdict.RETRY),
        ([PART_A], A.digest, Verdict.RETRY),
        ([A, B], A.digest, Verdict.RETRY),  # the last digest is the source's present one
        ([B, A], A.digest, Verdict.MISMATCH),
        ([A, B, C], A.digest, Verdict.CORRUPTED),
    ],
)
def test_verdict(observations: list[Observation], known: str | None, verdict: Verdict) -> None:
    assert judge(observations, known) is verdict


any_observation = st.sampled_from([A, B, C, D, PART_A, PART_B])


@many
@given(st.lists(any_observation, min_size=1, max_size=8), st.sampled_from([None, A.digest]))
def test_three_whole_attempts_decide(observations: list[Observation], known: str | None) -> None:
    verdict = judge(observations, known)
    whole = [each.digest for each in observations if each.whole]
    if len(whole) >= 3:
        assert verdict is not Verdict.RETRY
    if not whole:
        assert verdict is Verdict.RETRY
    if verdict is Verdict.MISMATCH:  # never by one observation alone
        assert (*whole, known).count(whole[-1]) >= 2
