"""What a run takes of the files that may be open: a table, and the process's own limit."""

import os
import resource
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrsync.sync.open_files import Share, fit, needed, share_of

many = settings(max_examples=200)


@pytest.mark.parametrize(
    ("room", "connections", "cores", "share"),
    [
        (1 << 20, 32, 2, (32, 64)), (388, 32, 2, (32, 64)), (387, 32, 2, (32, 63)),
        (340, 8, 2, (8, 64)), (246, 32, 2, (32, 28)), (246, 8, 2, (8, 40)), (246, 1, 2, (1, 44)),
        (118, 32, 2, (12, 6)), (118, 8, 2, (8, 8)), (86, 32, 2, (4, 2)), (68, 32, 2, (1, 1)),
        (0, 32, 2, (1, 1)), (-5, 1, 2, (1, 1)), (246, 32, 64, (13, 7)),
        (1 << 20, 32, 256, (32, 64)),
    ],
)  # fmt: skip
def test_what_fits(room: int, connections: int, cores: int, share: tuple[int, int]) -> None:
    assert fit(room, connections, cores) == share


rooms = st.integers(-100, 2_000)
connections_ = st.integers(1, 32)


@many
@given(rooms, connections_, st.integers(1, 64))
def test_it_fits(room: int, connections: int, cores: int) -> None:
    share = fit(room, connections, cores)
    least = needed(1, cores) - 4 * 64 + 4  # one connection, one file at a time
    assert 1 <= share.connections <= connections
    assert 1 <= share.batch_files <= 64
    used = needed(share.connections, cores) - 4 * (64 - share.batch_files)
    assert used <= max(room, least)
    # Nothing is spared that is there.
    if room >= needed(connections, cores):
        assert share == Share(connections, 64)
    assert fit(room + 1, connections, cores) >= share


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_is_raised_as_far_as_needed(limits: tuple[int, int]) -> None:
    hard = limits[1]
    if hard != resource.RLIM_INFINITY and hard < 1024:
        pytest.skip("the hard limit is low here")
    there = len(os.listdir("/dev/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (there + 100, hard))
    share, limit = share_of(32)
    assert share == (32, 64)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (limit, hard)
    cores = os.cpu_count() or 1
    assert limit == pytest.approx(there + needed(32, cores), abs=5)
    # Never lowered.
    assert share_of(1) == ((1, 64), limit)


def test_a_limit_that_cannot_be_raised_is_obeyed(
    limits: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise ValueError

    there = len(os.listdir("/dev/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (there + 100, limits[1]))
    with monkeypatch.context() as patch:
        patch.setattr(resource, "setrlimit", refuse)
        share, limit = share_of(32)
    assert limit == there + 100
    assert share == pytest.approx(fit(100, 32, os.cpu_count() or 1), abs=2)
