"""The response rules as one table: request, status, headers and partial in, the action out."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict
from thorough import examples

from cxrsync.errors import (
    AccessDenied,
    CredentialsRefused,
    FileDenied,
    Gone,
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
from cxrsync.transfer.response_policy import Action, LocalState, decide

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SIZE, TAG, OTHER = 100, '"a-64"', '"b-64"'

NOTHING = LocalState()
FIRST_40 = LocalState(40, 40, SIZE, TAG)
UNSIZED = LocalState(40, 40, None, None)  # an answer without a length, cut short
TAIL = LocalState(40, 80, SIZE, TAG)  # another connection has fetched the end
REQUESTS: dict[LocalState, RangeRequest] = {
    NOTHING: RangeRequest(),
    FIRST_40: RangeRequest(40, None, TAG),
    UNSIZED: RangeRequest(40),
    TAIL: RangeRequest(40, 60, TAG),
}


async def _nothing() -> Any:
    for each in ():
        yield each


def read(asked: RangeRequest, status: int, headers: dict[str, str]) -> Answer | SourceError:
    """Interpret a response as the source does, without a socket."""
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
    # no byte is here yet
    (NOTHING, 200, whole(), Action.APPEND),
    (NOTHING, 200, {}, Action.APPEND),
    (NOTHING, 206, part(0, 99), Action.APPEND),
    (NOTHING, 416, {"Content-Range": "bytes */100"}, Action.RETRY),
    # the partial has the beginning
    (FIRST_40, 206, part(40, 99), Action.APPEND),
    (FIRST_40, 206, part(40, 59), Action.APPEND),
    (FIRST_40, 206, part(40, 99, "*"), Action.APPEND),
    (FIRST_40, 206, {"Content-Range": "bytes 40-99/100"}, Action.APPEND),
    (FIRST_40, 206, part(40, 99, 101), Action.RESTART),
    (FIRST_40, 206, part(40, 99, tag=OTHER), Action.RESTART),
    (FIRST_40, 206, part(39, 99), Action.RETRY),
    (FIRST_40, 206, part(0, 99), Action.RETRY),
    (FIRST_40, 206, {}, Action.RETRY),
    (FIRST_40, 206, {**part(40, 99), "Content-Encoding": "gzip"}, Action.RETRY),
    (FIRST_40, 200, whole(), Action.BEGIN),
    (FIRST_40, 200, whole(101, OTHER), Action.BEGIN),
    (FIRST_40, 416, {"Content-Range": "bytes */100"}, Action.RESTART),
    (FIRST_40, 416, {"Content-Range": "bytes */40"}, Action.RESTART),
    (FIRST_40, 416, {}, Action.RESTART),
    (TAIL, 206, part(40, 59), Action.APPEND),
    (TAIL, 206, part(40, 79), Action.RETRY),
    (TAIL, 200, whole(), Action.BEGIN),
    # an answer without a length ended, perhaps where the file ends
    (UNSIZED, 206, part(40, 99), Action.APPEND),
    (UNSIZED, 416, {"Content-Range": "bytes */40"}, Action.COMPLETE),
    (UNSIZED, 416, {"Content-Range": "bytes */39"}, Action.RESTART),
    (UNSIZED, 416, {}, Action.RESTART),
    (UNSIZED, 200, whole(), Action.BEGIN),
    # refusals, whatever the partial has
    *[
        (local, status, headers, action)
        for local in REQUESTS
        for status, headers, action in [
            (200, {**whole(), **PAGE}, Action.WAIT),
            *[(status, {}, Action.WAIT) for status in (302, 303, 307, 408, 425, 429, 511, 522)],
            *[(status, {"Retry-After": "9"}, Action.WAIT) for status in (500, 502, 503, 504)],
            *[(status, {}, Action.FILE_FAILED) for status in (301, 308, 400, 404, 410, 412)],
            *[(status, {}, Action.PROBE_ACCESS) for status in (403, 451)],
            *[(status, {}, Action.RETRY) for status in (201, 204, 304, 501, 599)],
        ]
    ],
]


@pytest.mark.parametrize(("local", "status", "headers", "action"), CASES)
def test_the_action_for_a_response(
    local: LocalState, status: int, headers: dict[str, str], action: Action
) -> None:
    assert decide(local, read(REQUESTS[local], status, headers))[0] is action


def test_the_action_for_a_conditional_request() -> None:
    asked = RangeRequest(0, 10, skip_if=TAG)
    assert decide(NOTHING, read(asked, 304, {}))[0] is Action.UNCHANGED


BROKE = Interrupted("broke")


@pytest.mark.parametrize(
    ("local", "problem", "action"),
    [
        (LocalState(), BROKE, Action.RETRY),
        (LocalState(progress=True, failures=3), BROKE, Action.RETRY),
        (LocalState(failures=1), BROKE, Action.WAIT),  # a proxy whose server is down does that
        (LocalState(), Unreachable("x"), Action.WAIT),
        (LocalState(), Untrusted("x"), Action.WAIT),
        (LocalState(progress=True), Throttled("x", after=9), Action.WAIT),
        (LocalState(failures=9), InvalidResponse("x"), Action.RETRY),
        (LocalState(), NotFound("x"), Action.FILE_FAILED),
        (LocalState(), Gone("x"), Action.FILE_FAILED),
        (LocalState(), AccessDenied("x"), Action.PROBE_ACCESS),
        (LocalState(), FileDenied("x"), Action.FILE_FAILED),
        (LocalState(progress=True), CredentialsRefused("x"), Action.RUN_FAILED),
    ],
)
def test_the_action_for_an_error(local: LocalState, problem: SourceError, action: Action) -> None:
    assert decide(local, problem) == (action, str(problem))


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


@settings(max_examples=examples(500))
@given(local=st.sampled_from(list(REQUESTS)), status=st.integers(100, 999), headers=HEADERS)
def test_bytes_are_only_appended_where_they_belong(
    local: LocalState, status: int, headers: dict[str, str]
) -> None:
    asked = REQUESTS[local]
    answer = read(asked, status, headers)
    action, _why = decide(local, answer)
    if action not in {Action.APPEND, Action.BEGIN}:
        return
    assert isinstance(answer, Opened)
    assert status in {200, 206}
    if action is Action.BEGIN:
        assert answer.start == 0
        return
    assert answer.start == local.offset
    if local.size:
        assert status == 206
        assert local.total in {None, answer.total} or answer.total is None
        assert local.validator in {None, answer.validator} or answer.validator is None
