"""Sign-in, as on the real site."""

import re
from pathlib import Path

import aiohttp
import pytest
from demo.guest import SIGNED, TEST_COOKIE, basic, get, open_session, status, timed

from cxrsync.demo.server.auth import TWO_WEEKS
from cxrsync.demo.server.server import MiniPhysioNet


async def test_a_challenge_comes_with_a_test_cookie(
    server: MiniPhysioNet, http: aiohttp.ClientSession
) -> None:
    response, body = await get(http, f"{server.base_url}/alpha/1.0/SHA256SUMS.txt")
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == 'Basic realm="PhysioNet", charset="UTF-8"'
    assert response.headers.getall("Set-Cookie") == [TEST_COOKIE]
    assert b"401" in body
    assert server.request_log.password_checks == 0


async def test_one_password_check_begins_a_session(
    server: MiniPhysioNet, http: aiohttp.ClientSession
) -> None:
    url = f"{server.base_url}/alpha/1.0/SHA256SUMS.txt"
    assert await status(http, url) == 401
    response, body = await get(http, url, **SIGNED)
    assert (response.status, body) == (200, b"0123456789")
    assert re.fullmatch(
        rf"sessionid=\w+; HttpOnly; Max-Age={TWO_WEEKS}; Path=/; SameSite=Lax; Secure",
        response.headers["Set-Cookie"],
    )
    for _ in range(5):
        response, _ = await get(http, url, **SIGNED)
        assert response.status == 200
        assert "Set-Cookie" not in response.headers
    assert server.request_log.password_checks == 1
    # With a session the header's content does not matter; without the header access is denied.
    assert await status(http, url, Authorization="anything at all") == 200
    assert await status(http, url) == 401
    assert server.request_log.password_checks == 1
    server.forget_sessions()
    assert await status(http, url, **SIGNED) == 200
    assert server.request_log.password_checks == 2


async def test_preemptive_credentials_never_get_a_session(
    server: MiniPhysioNet, http: aiohttp.ClientSession
) -> None:
    for _ in range(3):
        response, _ = await get(http, f"{server.base_url}/alpha/1.0/empty.txt", **SIGNED)
        assert response.status == 200
        assert "Set-Cookie" not in response.headers
    assert server.request_log.password_checks == 3


async def test_any_cookie_leads_to_a_session(
    server: MiniPhysioNet, http: aiohttp.ClientSession
) -> None:
    url = f"{server.base_url}/alpha/1.0/empty.txt"
    response, _ = await get(http, url, Cookie="sessionid=stale", **SIGNED)
    assert "sessionid" in response.headers["Set-Cookie"]


async def test_open_datasets_need_neither_name_nor_agent(server: MiniPhysioNet) -> None:
    async with open_session(server, "curl/8") as http:
        url = f"{server.base_url}/open/1.0/SHA256SUMS.txt"
        assert (await get(http, url))[1] == b"open"
        assert (await get(http, url, method="POST"))[0].status == 405


@pytest.mark.parametrize(
    ("authorization", "checks"),
    [
        (basic(password="wrong")["Authorization"], 1),
        (basic(user="nobody")["Authorization"], 1),
        ("Basic !!!", 0),
        ("Basic gICA", 0),  # not UTF-8
        ("Basic bm9jb2xvbg==", 0),  # no colon
        ("Basic a b", 0),
        ("Bearer abc", 0),
        ("Basic", 0),
    ],
)
async def test_wrong_credentials_are_challenged_again(
    server: MiniPhysioNet, http: aiohttp.ClientSession, authorization: str, checks: int
) -> None:
    url = f"{server.base_url}/alpha/1.0/empty.txt"
    response, _ = await get(http, url, Authorization=authorization)
    assert (response.status, server.request_log.password_checks) == (401, checks)
    assert response.headers["Set-Cookie"] == TEST_COOKIE


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        ("Wget/1.21.3", 200),
        ("libwfdb/10.7", 200),
        ("Python/3.11 aiohttp/3.14", 403),
        ("wget/1.21", 403),
        ("Mozilla Wget/1.21", 403),
    ],
)
async def test_only_some_agents_may_sign_in(
    server: MiniPhysioNet, agent: str, expected: int
) -> None:
    async with open_session(server, agent) as http:
        response, _ = await get(http, f"{server.base_url}/alpha/1.0/empty.txt", **SIGNED)
        assert response.status == expected
        assert "WWW-Authenticate" not in response.headers
    assert server.request_log.snapshot().user_agents == {agent}
    assert server.request_log.password_checks == (expected == 200)


async def test_an_agreement_that_is_not_signed_is_403_once_signed_in(
    server: MiniPhysioNet, http: aiohttp.ClientSession
) -> None:
    server.set_behaviour(agreements=frozenset({"alpha"}))
    url = f"{server.base_url}/beta/1.0/SHA256SUMS.txt"
    assert await status(http, url) == 401
    response, _ = await get(http, url, **SIGNED)
    assert response.status == 403
    assert "WWW-Authenticate" not in response.headers
    assert "sessionid" in response.headers["Set-Cookie"]
    assert await status(http, f"{server.base_url}/alpha/1.0/empty.txt", **SIGNED) == 200


async def test_a_new_password_ends_sessions(
    server: MiniPhysioNet, http: aiohttp.ClientSession
) -> None:
    url = f"{server.base_url}/alpha/1.0/empty.txt"
    await get(http, url)
    assert await status(http, url, **SIGNED) == 200
    server.change_password("grüße")
    assert await status(http, url, **SIGNED) == 401
    assert await status(http, url, **basic(password="grüße")) == 200
    assert await status(http, url, **basic(password="grüße")) == 200
    assert server.request_log.password_checks == 3


async def test_without_sessions_there_are_no_cookies(
    server: MiniPhysioNet, http: aiohttp.ClientSession
) -> None:
    server.set_behaviour(sessions=False)
    url = f"{server.base_url}/alpha/1.0/empty.txt"
    for headers, expected in (({}, 401), (SIGNED, 200), (SIGNED, 200)):
        response, _ = await get(http, url, **headers)
        assert response.status == expected
        assert "Set-Cookie" not in response.headers
    assert server.request_log.password_checks == 2


async def test_a_password_check_costs_a_tenth_of_a_second(root: Path) -> None:
    with MiniPhysioNet(root) as server:
        async with open_session(server) as http:
            url = f"{server.base_url}/alpha/1.0/empty.txt"
            await get(http, url)
            checked = await timed(get(http, url, **SIGNED))
            assert checked >= 0.1
            assert min([await timed(get(http, url, **SIGNED)) for _ in range(5)]) < checked
        assert server.request_log.password_checks == 1
