"""One pass over two sorted streams."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from cxrsync.sorted_merge import left_join, merge_join

KEYS = st.sets(st.text("abc/", min_size=1, max_size=4)).map(sorted)


def key_of(item: tuple[str, int]) -> str:
    return item[0]


@given(KEYS, KEYS)
def test_it_is_the_outer_join_of_two_dictionaries(left: list[str], right: list[str]) -> None:
    lefts = {key: number for number, key in enumerate(left)}
    rights = {key: number for number, key in enumerate(right)}
    joined = list(merge_join(lefts.items(), rights.items(), key_of, key_of))
    assert joined == [
        (
            (key, lefts[key]) if key in lefts else None,
            (key, rights[key]) if key in rights else None,
        )
        for key in sorted(lefts.keys() | rights.keys())
    ]


def test_neither_stream_is_read_ahead_by_more_than_one_item() -> None:
    read: list[str] = []

    def numbers(name: str) -> Iterator[str]:
        for number in range(100):
            read.append(name)
            yield f"{number:03}"

    joined = merge_join(numbers("left"), numbers("right"), str, str)
    for _ in range(10):
        next(joined)
    assert len(read) == 20


@given(KEYS, KEYS)
def test_a_left_join_has_every_item_of_the_left(left: list[str], right: list[str]) -> None:
    rights = {key: number for number, key in enumerate(right)}
    joined = list(left_join(left, rights.items(), str, key_of))
    assert joined == [(key, (key, rights[key]) if key in rights else None) for key in left]


def test_a_left_join_ends_with_the_left() -> None:
    rest = iter(["a", "b", "c", "d"])
    assert list(left_join(["a"], rest, str, str)) == [("a", "a")]
    assert list(rest) == ["b", "c", "d"]
