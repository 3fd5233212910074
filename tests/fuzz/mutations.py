"""What becomes of a good file: bytes flipped, put in, taken out, doubled, cut off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from thorough import examples

# Derandomised: the same cases each time, here and on the build machine.
many = settings(max_examples=examples(100))

Edit = Callable[[bytes], bytes]


def _at(data: bytes, share: float) -> int:
    return int(share * len(data))


def _flip(place: float, bit: int) -> Edit:
    def edit(data: bytes) -> bytes:
        at = _at(data, place)
        return data[:at] + bytes([each ^ 1 << bit for each in data[at : at + 1]]) + data[at + 1 :]

    return edit


def _put_in(place: float, what: bytes) -> Edit:
    return lambda data: data[: _at(data, place)] + what + data[_at(data, place) :]


def _write_over(place: float, what: bytes) -> Edit:
    return lambda data: data[: _at(data, place)] + what + data[_at(data, place) + len(what) :]


def _take_out(place: float, count: int) -> Edit:
    return lambda data: data[: _at(data, place)] + data[_at(data, place) + count :]


def _double(place: float, count: int) -> Edit:
    return lambda data: data[: _at(data, place) + count] + data[_at(data, place) :]


def _cut(place: float) -> Edit:
    return lambda data: data[: _at(data, place)]


_places = st.floats(0, 1, exclude_max=True)
_counts = st.integers(1, 64)
# Beside any bytes, those that are limits of something.
_odd = st.one_of(
    st.binary(max_size=16),
    st.sampled_from([b"\0", b"\n", b"\r\n", b"\xff" * 8, b"\xff\xff\xff\x7f", b"../", b'"', b"-1"]),
)
_edits: st.SearchStrategy[Edit] = st.one_of(
    st.builds(_flip, _places, st.integers(0, 7)),
    st.builds(_put_in, _places, _odd),
    st.builds(_write_over, _places, _odd),
    st.builds(_take_out, _places, _counts),
    st.builds(_double, _places, _counts),
    st.builds(_cut, _places),
)


@st.composite
def mutated(draw: st.DrawFn, *examples: bytes, most: int = 6) -> bytes:
    """One of ``examples`` after one to ``most`` mutations, or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    data = draw(st.sampled_from(examples))
    for edit in draw(st.lists(_edits, min_size=1, max_size=most)):
        data = edit(data)
    return data


numbers = st.one_of(
    st.integers(-10, 10),
    st.integers(),
    st.sampled_from([2**31, 2**63, 2**64, -(2**63), 10**400, 1e308, 1e999, -1e999, 0.5]),
    st.floats(),
)
texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["", "..", "../../x", "/etc", "a\0b", "a\r\nb: c", "\ud800", "x" * 300, "nan"]),
)
anything: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(texts, each, max_size=4),
    max_leaves=8,
)
"""Any JSON value, wrong ones rather than right ones."""

# Deep enough for any parser that goes by recursion.
NESTED = b"[" * 100_000
NESTED_OBJECTS = b'{"a":' * 100_000


@st.composite
def misshapen(draw: st.DrawFn, good: dict[str, Any]) -> dict[str, Any]:
    """``good`` with some values replaced by anything, some taken out, perhaps one more put in."""
    raw = dict(good)
    for name in draw(st.lists(st.sampled_from(sorted(good)), min_size=1, max_size=3)):
        if draw(st.booleans()):
            raw[name] = draw(anything)
        else:
            raw.pop(name, None)
    return raw | draw(st.dictionaries(texts, anything, max_size=1))
