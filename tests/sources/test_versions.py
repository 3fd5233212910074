"""What the public API says of versions: a convenience that may change, and never a reason to stop.

Mocked: no real server can be made to say all this as easily.
"""

import json
from typing import Any

import aiohttp
import pytest
from aioresponses import aioresponses
from sources.mocked import Response, no_pause, source

from cxrsync.sources.physionet import PhysioNet

__all__ = ["no_pause", "source"]  # fixtures

URL = "https://physionet.org/api/v1/project/published/mimic-cxr/"
GOOD = [{"slug": "mimic-cxr", "version": "2.0.0"}, {"slug": "mimic-cxr", "version": "2.1.0"}]


async def told(source: PhysioNet, **answer: Any) -> list[str]:
    with aioresponses() as mocked:
        mocked.get(URL, response_class=Response, repeat=True, **answer)
        versions = await source.versions("mimic-cxr")
        [calls] = mocked.requests.values()
    # A convenience: an accident is tried again, but not for long.
    assert len(calls) <= 3
    assert len(calls) == 1 or not versions
    return versions


async def test_an_accident_is_tried_again(source: PhysioNet) -> None:
    with aioresponses() as mocked:
        mocked.get(URL, response_class=Response, status=503)
        mocked.get(URL, response_class=Response, exception=aiohttp.ServerDisconnectedError())
        mocked.get(URL, response_class=Response, payload=GOOD)
        assert await source.versions("mimic-cxr") == ["2.0.0", "2.1.0"]


async def test_versions_in_the_order_of_the_site(source: PhysioNet) -> None:
    assert await told(source, payload=GOOD) == ["2.0.0", "2.1.0"]
    assert await told(source, payload=GOOD[::-1]) == ["2.1.0", "2.0.0"]
    assert source.requests == 2


async def test_without_a_sign_in(source: PhysioNet) -> None:
    with aioresponses() as mocked:
        mocked.get(URL, response_class=Response, payload=GOOD)
        await source.versions("mimic-cxr")
        [[call]] = mocked.requests.values()
    assert "Authorization" not in call.kwargs["headers"]
    assert call.kwargs["allow_redirects"] is False


@pytest.mark.parametrize("status", [204, 301, 403, 404, 429, 500, 503])
async def test_no_answer_is_no_versions(source: PhysioNet, status: int) -> None:
    assert await told(source, status=status, payload=GOOD) == []


@pytest.mark.parametrize(
    "payload",
    [
        [],
        {},
        {"detail": "Not found."},
        {"results": GOOD},
        "2.1.0",
        ["2.0.0", "2.1.0"],
        7,
        True,
        [None],
        [[]],
        [{}],
        [{"versions": "2.1.0"}],
        [*GOOD, {"slug": "no version"}],
        [{"version": None}],
        [{"version": 2.1}],
        [{"version": ["2.1.0"]}],
        [{"version": ""}],
        # It becomes the name of a folder.
        [{"version": "../../elsewhere"}],
        [{"version": ".."}],
        [{"version": "/etc"}],
        [{"version": "2.1.0\n"}],
    ],
)
async def test_json_of_another_shape(source: PhysioNet, payload: object) -> None:
    assert await told(source, body=json.dumps(payload)) == []


@pytest.mark.parametrize(
    "body", [b"", b"null", b"{", b"[{'version': '2.1.0'}]", b"\xff\xfe", b"[" * 100_000]
)
async def test_no_json(source: PhysioNet, body: bytes) -> None:
    assert await told(source, body=body) == []


@pytest.mark.parametrize("content_type", ["text/html", "application/octet-stream"])
async def test_a_page_is_not_read_as_json(source: PhysioNet, content_type: str) -> None:
    assert await told(source, body=json.dumps(GOOD), content_type=content_type) == []


async def test_a_charset_that_nobody_knows(source: PhysioNet) -> None:
    odd = "application/json; charset=klingon"
    assert await told(source, body=json.dumps(GOOD), content_type=odd) == ["2.0.0", "2.1.0"]


@pytest.mark.parametrize(
    "problem",
    [
        aiohttp.ClientConnectionError("gone"),
        aiohttp.ServerDisconnectedError(),
        aiohttp.ServerTimeoutError(),
        aiohttp.ClientPayloadError("cut"),
        TimeoutError(),
        OSError(101, "Network is unreachable"),
    ],
)
async def test_a_server_that_is_away(source: PhysioNet, problem: Exception) -> None:
    assert await told(source, exception=problem) == []
