"""Across runs: histories of changes, kills, touches and addresses, and what the last pull says."""

import tempfile
from pathlib import Path

import pytest
from e2e.history import CHANGES, Change, Pull, play
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

pulls = st.builds(
    Pull,
    kill_at=st.one_of(st.none(), st.integers(0, 1_500_000)),
    address=st.sampled_from(["127.0.0.1", "localhost"]),
    connections=st.sampled_from([1, 4]),
)
changes = st.builds(Change, st.sampled_from(sorted(CHANGES)))


@pytest.mark.timeout(600)
@settings(max_examples=examples(7))
@given(steps=st.lists(st.one_of(pulls, changes), max_size=6), seed=st.integers(0, 1 << 16))
def test_what_the_last_pull_calls_complete_is(steps: list[Pull | Change], seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        play(Path(folder), steps, seed)


@pytest.mark.parametrize("kill_at", [0, 700_000])
@pytest.mark.parametrize("connections", [1, 4])
def test_killed_in_the_first_manifest_which_then_grows(
    tmp_path: Path, kill_at: int, connections: int
) -> None:
    steps = [Pull(kill_at=kill_at, connections=connections), Change("the publisher adds many")]
    play(tmp_path, steps, 0)
