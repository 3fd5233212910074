"""Sets of byte ranges, against plain sets of integers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.storage.byte_ranges import Range, add, frontier, gaps, normal, size

many = settings(max_examples=examples(200))

offsets = st.integers(-5, 40)
# Any pairs: empty ones, backwards, touching, overlapping, below 0.
pairs = st.lists(st.tuples(offsets, offsets), max_size=8)
totals = st.integers(0, 40)


def members(ranges: list[Range]) -> set[int]:
    return {byte for start, stop in ranges for byte in range(start, stop)}


def is_a_set(ranges: list[Range]) -> bool:
    """In order, none empty, none touching the next."""
    flat = [edge for each in ranges for edge in each]
    return flat == sorted(set(flat))


@pytest.mark.parametrize(
    ("ranges", "start", "stop", "after"),
    [
        ([], 0, 5, [(0, 5)]),
        ([], 5, 5, []),
        ([(0, 5)], 7, 3, [(0, 5)]),
        ([(0, 5)], 5, 9, [(0, 9)]),  # touching is joined: one frontier
        ([(5, 9)], 0, 5, [(0, 9)]),
        ([(0, 5)], 6, 9, [(0, 5), (6, 9)]),
        ([(0, 5), (6, 9)], 5, 6, [(0, 9)]),
        ([(0, 2), (4, 6), (8, 10)], 1, 9, [(0, 10)]),
        ([(0, 10)], 3, 4, [(0, 10)]),
    ],
)
def test_add(ranges: list[Range], start: int, stop: int, after: list[Range]) -> None:
    before = list(ranges)
    assert add(ranges, start, stop) == after
    assert ranges == before  # a value: whoever holds the old one keeps it


@many
@given(pairs)
def test_add_is_a_union(parts: list[Range]) -> None:
    ranges: list[Range] = []
    bytes_there: set[int] = set()
    for start, stop in parts:
        ranges = add(ranges, start, stop)
        bytes_there |= set(range(start, stop))
        assert is_a_set(ranges)
        assert members(ranges) == bytes_there


@many
@given(pairs, totals)
def test_normal_cuts_to_the_file(parts: list[Range], total: int) -> None:
    ranges = normal(parts, total)
    assert is_a_set(ranges)
    assert members(ranges) == members(parts) & set(range(total))


@many
@given(pairs, totals, totals)
def test_gaps_are_the_rest(parts: list[Range], kept: int, total: int) -> None:
    # The set may reach beyond the total: a file that became shorter at the source.
    ranges = normal(parts, kept)
    missing = gaps(ranges, total)
    assert is_a_set(missing)
    assert members(missing) == set(range(total)) - members(ranges)


@many
@given(pairs, totals)
def test_size_and_frontier(parts: list[Range], total: int) -> None:
    ranges = normal(parts, total)
    there = members(ranges)
    assert size(ranges) == len(there)
    assert frontier(ranges) == next(byte for byte in range(total + 1) if byte not in there)
