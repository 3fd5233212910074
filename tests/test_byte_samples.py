"""Samples are few and even, whatever the length of the run, and the last count is among them."""

from itertools import pairwise

import pytest

from cxrsync.byte_samples import MAX_SAMPLES, ByteSamples


@pytest.mark.parametrize("seconds", [0.5, 10, 119, 121, 1_000, 86_400])
def test_few_and_even(seconds: float) -> None:
    samples = ByteSamples()
    steps = min(20_000, int(seconds * 4))
    for step in range(steps + 1):
        samples.add(seconds * step / max(1, steps), step)
    kept = samples.samples()
    assert 1 <= len(kept) <= MAX_SAMPLES
    assert kept[-1] == (round(seconds, 1), steps)
    gaps = [after - before for (before, _), (after, _) in pairwise(kept)]
    assert len(kept) > min(seconds, MAX_SAMPLES / 2) / 2
    assert not gaps[:-1] or max(gaps[:-1]) < 2 * min(gaps[:-1]) + 0.5


def test_bytes_that_were_thrown_away_are_no_debt() -> None:
    samples = ByteSamples()
    samples.add(1.0, -7)
    assert samples.samples() == ((1.0, 0),)


def test_no_bytes_no_samples() -> None:
    assert ByteSamples().samples() == ()
