"""Two sorted streams read side by side, in one pass and without holding either in memory."""

from __future__ import annotations

import heapq
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


def merged(streams: Iterable[Iterable[R]], key: Callable[[R], str]) -> Iterator[R]:
    """Yield the items of several sorted streams in the order of their keys.

    Quicker than :func:`heapq.merge` where long runs of items come from one stream, as those of a
    shard do: an item costs one comparison with the next stream's first.
    """
    heads: list[tuple[str, int, R, Iterator[R]]] = []
    for number, each in enumerate(streams):
        stream = iter(each)
        for item in stream:
            heads.append((key(item), number, item, stream))
            break
    heapq.heapify(heads)
    while heads:
        _key, number, item, stream = heapq.heappop(heads)
        yield item
        if not heads:
            yield from stream
            return
        bound = heads[0][0]
        for item in stream:
            if (here := key(item)) > bound:
                heapq.heappush(heads, (here, number, item, stream))
                break
            yield item


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
