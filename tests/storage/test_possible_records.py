"""Which rows of a state are records: page by page the same as one by one."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.model import MAX_BYTES, CopyRecord
from cxrsync.storage.possible_records import possible_records

GOOD = ("files/p10/a.jpg", "0a" * 32, 5, 7, "https://example.org", '"etag"', 1.6e9, None)
COPY = CopyRecord(512, "0b" * 32, 3)
TEXT = st.text('a"\n\x7f', max_size=2)
ODD: list[st.SearchStrategy[Any]] = [
    TEXT | st.none() | st.binary(max_size=1),
    st.sampled_from(["0A" * 32, "0a" * 31, "0a" * 31 + " 0", "é" * 64, "", b"0a" * 32, 7]),
    st.sampled_from([-1, 0, MAX_BYTES, MAX_BYTES + 1, True]),
    st.integers() | st.none(),
    TEXT | st.binary(max_size=1),
    TEXT | st.sampled_from(['""', '"\n"', '""\n""', 'W/"a"', '"' + "a" * 511 + '"', None, ""]),
    st.floats() | st.none(),
    st.sampled_from([None, COPY, COPY._replace(sha256="x"), COPY._replace(pixels=0)]),
]
ROWS = st.tuples(*(st.just(good) | odd for good, odd in zip(GOOD, ODD, strict=True)))


@settings(max_examples=examples(300))
@given(st.lists(ROWS | st.just(GOOD), max_size=4))
def test_a_page_has_the_records_that_its_rows_have(page: list[tuple[Any, ...]]) -> None:
    one_by_one = [record for row in page for record in possible_records([row, (None,) * 8])]
    assert list(map(repr, possible_records(page))) == list(map(repr, one_by_one))


def test_a_page_of_good_rows_and_none() -> None:
    assert list(possible_records([])) == []
    assert [tuple(each) for each in possible_records([GOOD] * 3)] == [GOOD] * 3
