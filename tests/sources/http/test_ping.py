"""Pings against a real server on loopback."""

from __future__ import annotations

import asyncio

import pytest
from sources.http.ping_service import SECRET, Check, served

from cxrsync.config.ping_url import parse_ping_url
from cxrsync.mirror.ping import ping_body, ping_end, ping_start
from cxrsync.mirror.report import FileCounts, JobReport, MirrorReport
from cxrsync.sources.http import ping

RESULT = MirrorReport(
    5, 61.4, (JobReport("jpg-p10", "mimic-cxr-jpg", 5, 1e9, 60.0, FileCounts(9, 2, 3, 1)),)
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ping, "_FIRST_PAUSE", 0.01)


async def test_begin_and_end_well() -> None:
    with served(Check()) as check:
        assert await ping_start(check.url) is None
        assert await ping_end(check.url, MirrorReport(0, 1.0)) is None
        assert await ping_end(check.url, MirrorReport(9, 1.0)) is None
    well = f"POST /ping/{SECRET}?create=1"
    assert check.asked == [f"POST /ping/{SECRET}/start?create=1", well, well]


async def test_a_failure_has_its_code_and_counts_only() -> None:
    with served(Check()) as check:
        assert await ping_end(check.url, RESULT) is None
    [(_method, path, body, headers)] = check.requests
    assert path == f"/ping/{SECRET}/5?create=1"
    assert body.splitlines() == [
        "exit code 5: some files failed", "jobs: 1", "files verified: 9", "files missing: 2",
        "files fetched: 3", "files failed: 1", "files mismatched: 0", "files scrubbed: 0",
        "files rotten: 0", "bytes fetched: 0",
        "bytes scrubbed: 0", "seconds: 61",
    ]  # fmt: skip
    assert "mimic" not in body
    assert not {"Cookie", "Authorization"} & headers.keys()


async def test_a_temporary_error_is_retried() -> None:
    with served(Check([503, 500, 200])) as check:
        assert await ping_start(check.url) is None
    assert len(check.requests) == 3
    assert all("Cookie" not in headers for *_others, headers in check.requests)


@pytest.mark.parametrize(
    ("status", "requests", "words"),
    [(503, 3, "the answer is 503"), (404, 1, "404: there is no such check"), (400, 1, "400")],
)
async def test_a_refused_ping_is_a_warning(status: int, requests: int, words: str) -> None:
    with served(Check([status])) as check:
        warning = await ping_end(check.url, RESULT)
    assert warning is not None
    assert words in warning
    assert "127.0.0.1" in warning
    assert SECRET not in warning
    assert len(check.requests) == requests


async def test_no_redirect_is_followed() -> None:
    with (
        served(Check()) as other,
        served(Check([302], location=f"http://127.0.0.1:{other.port}/x")) as check,
    ):
        warning = await ping_start(check.url)
    assert "redirect (302)" in str(warning)
    assert other.requests == []


async def test_no_server() -> None:
    with served(Check()) as check:
        url = check.url
    warning = await ping_start(url)
    assert warning == "the ping to 127.0.0.1 failed: Connection refused; the mirror is not affected"


async def test_all_attempts_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which ends here with the second request, however late that is."""
    monkeypatch.setattr(ping, "_ATTEMPT_SECONDS", 0.2)
    monkeypatch.setattr(ping, "ATTEMPTS", 1000)
    real, limits, asked = asyncio.timeout, [], []

    def limit(seconds: float | None) -> asyncio.Timeout:
        asked.append(seconds)
        limits.append(real(seconds))
        return limits[-1]

    async def end_with_the_second() -> None:
        while len(check.requests) < 2:
            await asyncio.sleep(0.01)
        limits[0].reschedule(asyncio.get_running_loop().time())

    monkeypatch.setattr(asyncio, "timeout", limit)
    with served(Check(pause=60.0)) as check:
        watching = asyncio.create_task(end_with_the_second())
        warning = await ping_start(check.url, seconds=40.0)
        await watching
    assert "no answer within 40 s" in str(warning)
    assert asked[0] == 40.0


async def test_a_cancellation_is_passed_on() -> None:
    with served(Check(pause=5.0)) as check:
        task = asyncio.create_task(ping_start(check.url))
        while not check.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5://u:hidden@proxy.test:1080")
    warning = await ping_start(parse_ping_url(f"https://hc.test/{SECRET}"))
    assert "https_proxy" in str(warning)
    assert "hidden" not in str(warning)
    assert SECRET not in str(warning)


def test_the_body_has_no_name() -> None:
    assert "jpg-p10" not in ping_body(RESULT)
