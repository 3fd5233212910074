"""Two sorted streams read side by side, in one pass and without holding either in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

L = TypeVar("L")
R = TypeVar("R")


def merge_join(
    left: Iterable[L],
    right: Iterable[R],
    left_key: Callable[[L], str],
    right_key: Callable[[R], str],
) -> Iterator[tuple[L | None, R | None]]:
    """The full outer join of two streams: items with the same key as a pair, every other item
    beside None, in the order of the keys.

    Both streams are sorted by their keys, and a key occurs at most once in each.
    """
    lefts, rights = iter(left), iter(right)
    a, b = next(lefts, None), next(rights, None)
    while a is not None and b is not None:
        a_key, b_key = left_key(a), right_key(b)
        if a_key == b_key:
            yield a, b
            a, b = next(lefts, None), next(rights, None)
        elif a_key < b_key:
            yield a, None
            a = next(lefts, None)
        else:
            yield None, b
            b = next(rights, None)
    while a is not None:
        yield a, None
        a = next(lefts, None)
    while b is not None:
        yield None, b
        b = next(rights, None)


def left_join(
    left: Iterable[L],
    right: Iterable[R],
    left_key: Callable[[L], str],
    right_key: Callable[[R], str],
) -> Iterator[tuple[L, R | None]]:
    """Yield every item of ``left``, with the item of ``right`` that has the same key, or None.

    The streams are as for :func:`merge_join`. ``right`` is read only as far as ``left`` goes.
    """
    rights = iter(right)
    b = next(rights, None)
    b_key = None if b is None else right_key(b)
    for a in left:
        key = left_key(a)
        while b_key is not None and b_key < key:
            b = next(rights, None)
            b_key = None if b is None else right_key(b)
        yield a, b if b_key == key else None
