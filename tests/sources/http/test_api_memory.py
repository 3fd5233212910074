"""What is remembered of the public API: for a day, of one address, and nothing odd."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrsync.sources.http.api_memory import (
    Answer,
    decode_answer,
    decode_pause,
    encode_answer,
    encode_pause,
    name_of,
)

URL = "https://physionet.org/api/v1/project/published/mimic-cxr/"
NOW, HOUR = 1_700_000_000.0, 3_600.0


@pytest.mark.parametrize("value", [["2.0.0", "2.1.0"], 4_700_000_000_000, None])
@pytest.mark.parametrize(
    ("later", "known"), [(0, True), (22.9 * HOUR, True), (23 * HOUR, False), (-1, False)]
)
def test_an_answer_lasts_for_a_day(value: object, later: float, known: bool) -> None:
    """Less an hour, for those who look each night. And not from the future: a clock was set
    back."""
    expected = Answer(value) if known else None
    assert decode_answer(encode_answer(URL, NOW, value), URL, NOW + later) == expected


def test_an_answer_is_of_its_address() -> None:
    assert decode_answer(encode_answer(URL, NOW, 1), URL + "2.1.0/", NOW) is None
    assert name_of("answer", URL) != name_of("answer", URL + "2.1.0/") != name_of("pause", URL)


@pytest.mark.parametrize(
    ("retry_after", "later", "paused"),
    [
        (120.0, 0, True),
        (120.0, 119, True),
        (120.0, 120, False),
        (0.0, 0, False),
        (None, HOUR - 1, True),  # no Retry-After: an hour
        (None, HOUR, False),
        (86_400.0, 86_399, True),
        (1e9, 7 * 86_400 - 1, True),  # not for ever
        (1e9, 7 * 86_400, False),
        (120.0, -1, False),  # of the future
    ],
)
def test_a_pause_lasts_as_long_as_the_server_says(
    retry_after: float | None, later: float, paused: bool
) -> None:
    until = decode_pause(encode_pause(URL, NOW, retry_after), URL, NOW + later)
    assert (until is not None) == paused


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())
fields = st.fixed_dictionaries(
    {"format": st.just(1) | values, "url": st.just(URL) | values},
    optional={"asked_at": st.just(NOW) | values, "until": values, "answer": values},
)


@given(st.none() | st.binary() | fields.map(lambda each: json.dumps(each).encode()))
def test_any_file(data: bytes | None) -> None:
    answer: Any = decode_answer(data, URL, NOW)
    assert answer is None or isinstance(answer, Answer)
    until = decode_pause(data, URL, NOW)
    assert until is None or NOW < until <= NOW + 7 * 86_400
