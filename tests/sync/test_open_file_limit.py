"""The budget of open files of a run: a table, and the limit of the process."""

import os
import resource
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.sync.open_file_limit import FileBudget, file_budget, files_needed, fit_budget

many = settings(max_examples=examples(200))


@pytest.mark.parametrize(
    ("available", "connections", "cores", "budget"),
    [
        (1 << 20, 32, 2, (32, 64)), (388, 32, 2, (32, 64)), (387, 32, 2, (32, 63)),
        (340, 8, 2, (8, 64)), (246, 32, 2, (32, 28)), (246, 8, 2, (8, 40)), (246, 1, 2, (1, 44)),
        (118, 32, 2, (12, 6)), (118, 8, 2, (8, 8)), (86, 32, 2, (4, 2)), (68, 32, 2, (1, 1)),
        (0, 32, 2, (1, 1)), (-5, 1, 2, (1, 1)), (246, 32, 64, (13, 7)),
        (1 << 20, 32, 256, (32, 64)),
    ],
)  # fmt: skip
def test_the_budget(available: int, connections: int, cores: int, budget: tuple[int, int]) -> None:
    assert fit_budget(available, connections, cores) == budget


available_files = st.integers(-100, 2_000)
connections_ = st.integers(1, 32)


@many
@given(available_files, connections_, st.integers(1, 64))
def test_the_budget_is_within_the_limit_and_uses_it(
    available: int, connections: int, cores: int
) -> None:
    budget = fit_budget(available, connections, cores)
    least = files_needed(1, cores) - 4 * 64 + 4  # one connection, one file at a time
    assert 1 <= budget.connections <= connections
    assert 1 <= budget.batch_files <= 64
    used = files_needed(budget.connections, cores) - 4 * (64 - budget.batch_files)
    assert used <= max(available, least)
    # No available file is left unused.
    if available >= files_needed(connections, cores):
        assert budget == FileBudget(connections, 64)
    assert fit_budget(available + 1, connections, cores) >= budget


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
    budget, limit = file_budget(32)
    assert budget == (32, 64)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (limit, hard)
    cores = os.cpu_count() or 1
    assert limit == pytest.approx(there + files_needed(32, cores), abs=5)
    # Never lowered.
    assert file_budget(1) == ((1, 64), limit)


def test_a_limit_that_cannot_be_raised_is_obeyed(
    limits: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise ValueError

    there = len(os.listdir("/dev/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (there + 100, limits[1]))
    with monkeypatch.context() as patch:
        patch.setattr(resource, "setrlimit", refuse)
        budget, limit = file_budget(32)
    assert limit == there + 100
    assert budget == pytest.approx(fit_budget(100, 32, os.cpu_count() or 1), abs=2)
