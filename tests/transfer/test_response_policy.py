"""From (request, status, headers, what is on the disk) to what is done: one table."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from cxrsync.errors import (
    AccessDenied,
    CredentialsRefused,
    FileDenied,
    Interrupted,
    InvalidResponse,
    NotFound,
    SourceError,
    Throttled,
    Unreachable,
    Untrusted,
)
from cxrsync.sources.base import Answer, Opened
from cxrsync.sources.http.responses import RangeRequest, ResponseBody, interpret_response
from cxrsync.transfer.response_policy import Act, Held, decide

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SIZE, TAG, OTHER = 100, '"a-64"', '"b-64"'

NOTHING = Held()
FIRST_40 = Held(40, 40, SIZE, TAG)
UNSIZED = Held(40, 40, None, None)  # an answer without a length, cut short
TAIL = Held(40, 80, SIZE, TAG)  # another connection has brought the end
REQUESTS: dict[Held, RangeRequest] = {
    NOTHING: RangeRequest(),
    FIRST_40: RangeRequest(40, None, TAG),
    UNSIZED: RangeRequest(40),
    TAIL: RangeRequest(40, 60, TAG),
}


async def _nothing() -> Any:
    for each in ():
        yield each


def read(asked: RangeRequest, status: int, headers: dict[str, str]) -> Answer | SourceError:
    """As the source does, without the socket."""
    try:
        head = interpret_response(asked, status, CIMultiDict(headers), NOW)
    except SourceError as problem:
        return problem
    if isinstance(head, ResponseBody):
        return Opened(head.start, head.total, head.validator, head.modified, _nothing())
    return head


def part(start: int, last: int, total: object = SIZE, tag: str = TAG) -> dict[str, str]:
    return {
        "Content-Range": f"bytes {start}-{last}/{total}",
        "Content-Length": str(last - start + 1),
        "ETag": tag,
    }


def whole(size: int = SIZE, tag: str = TAG) -> dict[str, str]:
    return {"Content-Length": str(size), "ETag": tag}


PAGE = {"Content-Type": "text/html"}

CASES = [
    # nothing is here yet
    (NOTHING, 200, whole(), Act.APPEND),
    (NOTHING, 200, {}, Act.APPEND),
    (NOTHING, 206, part(0, 99), Act.APPEND),
    (NOTHING, 416, {"Content-Range": "bytes */100"}, Act.RETRY),
    # what is here is the beginning
    (FIRST_40, 206, part(40, 99), Act.APPEND),
    (FIRST_40, 206, part(40, 59), Act.APPEND),
    (FIRST_40, 206, part(40, 99, "*"), Act.APPEND),
    (FIRST_40, 206, {"Content-Range": "bytes 40-99/100"}, Act.APPEND),
    (FIRST_40, 206, part(40, 99, 101), Act.RESTART),
    (FIRST_40, 206, part(40, 99, tag=OTHER), Act.RESTART),
    (FIRST_40, 206, part(39, 99), Act.RETRY),
    (FIRST_40, 206, part(0, 99), Act.RETRY),
    (FIRST_40, 206, {}, Act.RETRY),
    (FIRST_40, 206, {**part(40, 99), "Content-Encoding": "gzip"}, Act.RETRY),
    (FIRST_40, 200, whole(), Act.BEGIN),
    (FIRST_40, 200, whole(101, OTHER), Act.BEGIN),
    (FIRST_40, 416, {"Content-Range": "bytes */100"}, Act.RESTART),
    (FIRST_40, 416, {"Content-Range": "bytes */40"}, Act.RESTART),
    (FIRST_40, 416, {}, Act.RESTART),
    (TAIL, 206, part(40, 59), Act.APPEND),
    (TAIL, 206, part(40, 79), Act.RETRY),
    (TAIL, 200, whole(), Act.BEGIN),
    # it ended without a length: perhaps where it should
    (UNSIZED, 206, part(40, 99), Act.APPEND),
    (UNSIZED, 416, {"Content-Range": "bytes */40"}, Act.COMPLETE),
    (UNSIZED, 416, {"Content-Range": "bytes */39"}, Act.RESTART),
    (UNSIZED, 416, {}, Act.RESTART),
    (UNSIZED, 200, whole(), Act.BEGIN),
    # refusals, whatever is here
    *[
        (held, status, headers, act)
        for held in REQUESTS
        for status, headers, act in [
            (200, {**whole(), **PAGE}, Act.WAIT),
            *[(status, {}, Act.WAIT) for status in (302, 303, 307, 408, 425, 429)],
            *[(status, {"Retry-After": "9"}, Act.WAIT) for status in (500, 502, 503, 504)],
            *[(status, {}, Act.FILE_FAILED) for status in (301, 308, 400, 404, 410, 412)],
            (403, {}, Act.ASK_ACCESS),
            *[(status, {}, Act.RETRY) for status in (201, 204, 304, 501, 599)],
        ]
    ],
]


@pytest.mark.parametrize(("held", "status", "headers", "act"), CASES)
def test_what_is_done(held: Held, status: int, headers: dict[str, str], act: Act) -> None:
    assert decide(held, read(REQUESTS[held], status, headers))[0] is act


def test_a_question_of_whether_it_changed() -> None:
    asked = RangeRequest(0, 10, skip_if=TAG)
    assert decide(NOTHING, read(asked, 304, {}))[0] is Act.UNCHANGED


BROKE = Interrupted("broke")


@pytest.mark.parametrize(
    ("held", "problem", "act"),
    [
        (Held(), BROKE, Act.RETRY),
        (Held(progress=True, failures=3), BROKE, Act.RETRY),
        (Held(failures=1), BROKE, Act.WAIT),  # so does a proxy whose server is down
        (Held(), Unreachable("x"), Act.WAIT),
        (Held(), Untrusted("x"), Act.WAIT),
        (Held(progress=True), Throttled("x", after=9), Act.WAIT),
        (Held(failures=9), InvalidResponse("x"), Act.RETRY),
        (Held(), NotFound("x"), Act.FILE_FAILED),
        (Held(), AccessDenied("x"), Act.ASK_ACCESS),
        (Held(), FileDenied("x"), Act.FILE_FAILED),
        (Held(progress=True), CredentialsRefused("x"), Act.RUN_FAILED),
    ],
)
def test_what_is_done_about_a_problem(held: Held, problem: SourceError, act: Act) -> None:
    assert decide(held, problem) == (act, str(problem))


texts = st.sampled_from(["", "0", "39", "40", "41", "99", "100", "101", "9" * 40, "-1", "x", "*"])
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Content-Range": st.builds("bytes {}-{}/{}".format, texts, texts, texts)
        | st.builds("bytes */{}".format, texts),
        "Content-Length": texts,
        "ETag": st.sampled_from([TAG, OTHER, f"W/{TAG}", "", "a"]),
        "Content-Type": st.sampled_from(["text/html", "image/jpeg"]),
        "Content-Encoding": st.sampled_from(["gzip", "identity"]),
        "Retry-After": texts,
    },
)


@settings(deadline=None, max_examples=500, derandomize=True)
@given(held=st.sampled_from(list(REQUESTS)), status=st.integers(100, 999), headers=HEADERS)
def test_bytes_are_only_appended_where_they_belong(
    held: Held, status: int, headers: dict[str, str]
) -> None:
    asked = REQUESTS[held]
    answer = read(asked, status, headers)
    act, _why = decide(held, answer)
    if act not in {Act.APPEND, Act.BEGIN}:
        return
    assert isinstance(answer, Opened)
    assert status in {200, 206}
    if act is Act.BEGIN:
        assert answer.start == 0
        return
    assert answer.start == held.at
    if held.size:
        assert status == 206
        assert held.total in {None, answer.total} or answer.total is None
        assert held.validator in {None, answer.validator} or answer.validator is None
