"""What the public API says of versions: a convenience that may change, and never a reason to stop.

Mocked: no real server can be made to say all this as easily.
"""

import json
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from aioresponses import aioresponses
from sources.mocked import Response, source

from cxrsync.errors import Unanswered
from cxrsync.sources.physionet import PhysioNet

__all__ = ["source"]  # a fixture

URL = "https://physionet.org/api/v1/project/published/mimic-cxr/"
GOOD = [{"slug": "mimic-cxr", "version": "2.0.0"}, {"slug": "mimic-cxr", "version": "2.1.0"}]


async def told(source: PhysioNet, **answer: Any) -> list[str]:
    """What the source says, or raises. The API is asked once, whatever it answers."""
    with aioresponses() as mocked:
        mocked.get(URL, response_class=Response, repeat=True, **answer)
        try:
            return await source.versions("mimic-cxr")
        finally:
            with suppress(Unanswered):
                await source.versions("mimic-cxr")
            [calls] = mocked.requests.values()
            assert len(calls) == 1


async def says_nothing(source: PhysioNet, **answer: Any) -> str:
    with pytest.raises(Unanswered, match=r"the public API of physionet\.org") as caught:
        await told(source, **answer)
    return str(caught.value)


async def test_versions_in_the_order_of_the_site(source: PhysioNet) -> None:
    assert await told(source, payload=GOOD[::-1]) == ["2.1.0", "2.0.0"]
    assert source.requests == 1


async def test_without_a_sign_in(source: PhysioNet) -> None:
    with aioresponses() as mocked:
        mocked.get(URL, response_class=Response, payload=GOOD)
        await source.versions("mimic-cxr")
        [[call]] = mocked.requests.values()
    assert "Authorization" not in call.kwargs["headers"]
    assert call.kwargs["allow_redirects"] is False


@pytest.mark.parametrize("status", [204, 301, 400, 401, 403, 410, 429, 451, 500, 503])
async def test_no_answer_is_not_no_versions(source: PhysioNet, status: int) -> None:
    text = await says_nothing(source, status=status, payload=GOOD)
    assert str(status) in text or "asked too often" in text


@pytest.mark.parametrize("answer", [{"status": 404}, {"payload": []}])
async def test_no_such_dataset(source: PhysioNet, answer: dict[str, Any]) -> None:
    assert await told(source, **answer) == []


@pytest.mark.parametrize(
    "payload",
    [
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
    assert "no usable answer" in await says_nothing(source, body=json.dumps(payload))


@pytest.mark.parametrize(
    "body", [b"", b"null", b"{", b"[{'version': '2.1.0'}]", b"\xff\xfe", b"[" * 100_000]
)
async def test_no_json(source: PhysioNet, body: bytes) -> None:
    assert "no usable answer" in await says_nothing(source, body=body)


@pytest.mark.parametrize("content_type", ["text/html", "application/octet-stream"])
async def test_a_page_is_not_read_as_json(source: PhysioNet, content_type: str) -> None:
    await says_nothing(source, body=json.dumps(GOOD), content_type=content_type)


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
    assert "gives no answer" in await says_nothing(source, exception=problem)
