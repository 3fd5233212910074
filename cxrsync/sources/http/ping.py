"""Send one ping: a POST whose answer counts only by its status.

The request stands here, and not with its caller in ``operations``, because all HTTP of cxrsync is
in ``sources``: proxies, TLS and what may be shown of an error have one place.

The ping has a session of its own. It shares no cookie, no user agent and no connection limit with
the downloads, and it works before and after them. It follows no redirect: the path of the URL is a
secret, and a redirect would show it to another host.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
)
from yarl import URL

from cxrsync import __version__
from cxrsync.errors import (
    CxrsyncError,
    InvalidResponse,
    SourceError,
    Throttled,
    Unreachable,
    Untrusted,
)
from cxrsync.sanitize import reason_of
from cxrsync.sources.http.proxy import proxy_for
from cxrsync.sources.http.refusals import TRY_LATER

PING_SECONDS = 10.0
ATTEMPTS = 3
# One attempt that gets no answer must leave time for a second.
_ATTEMPT_SECONDS = 4.0
_FIRST_PAUSE = 0.5


async def send_ping(url: str, body: str, *, seconds: float = PING_SECONDS) -> None:
    """POST ``body`` to ``url``, within so many seconds, retries included.

    Raises SourceError or UsageError. The text of the error names neither the URL nor its host.
    """
    try:
        async with asyncio.timeout(seconds):
            await _send_with_retries(url, body, seconds)
    except TimeoutError:
        raise Unreachable(f"no answer within {seconds:g} s") from None


async def _send_with_retries(url: str, body: str, seconds: float) -> None:
    retrying = AsyncRetrying(
        retry=retry_if_exception_type((_Temporary, Throttled)),
        # The time, too: the timeout of an attempt may swallow that of all, if both end at once.
        stop=stop_after_attempt(ATTEMPTS) | stop_after_delay(seconds),
        wait=wait_exponential(multiplier=_FIRST_PAUSE, max=2.0),
        reraise=True,
    )
    async with aiohttp.ClientSession(
        headers={"User-Agent": f"cxrsync/{__version__}"},
        timeout=aiohttp.ClientTimeout(total=_ATTEMPT_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,  # would send a netrc's password
    ) as session:
        async for attempt in retrying:
            with attempt:
                await _send_once(session, url, body)


class _Temporary(Unreachable):
    """No answer; another attempt may get one."""


async def _send_once(session: aiohttp.ClientSession, url: str, body: str) -> None:
    proxy = proxy_for(url)
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    through: dict[str, Any] = {}
    if proxy is not None:
        through = {"proxy": proxy.url}
        if url.startswith("https:"):  # for CONNECT only: the proxy cannot read the request inside
            through["proxy_headers"] = proxy.headers
        else:
            headers |= proxy.headers
    try:
        async with session.post(
            URL(url, encoded=True),
            data=body.encode(),
            headers=headers,
            allow_redirects=False,
            **through,
        ) as response:
            status = response.status
    except (aiohttp.ClientError, OSError, ValueError) as problem:
        raise _failure(problem) from None
    _check_status(status)


def _failure(problem: Exception) -> CxrsyncError:
    """Return the error for a request without an answer. An aiohttp text would quote the URL."""
    match problem:
        case aiohttp.ClientConnectorCertificateError():
            return Untrusted(reason_of(problem.certificate_error))
        case aiohttp.ClientConnectorError():
            return _Temporary(reason_of(problem.os_error))
        case aiohttp.ClientHttpProxyError():
            return Unreachable(f"the proxy refuses the connection ({problem.status})")
        case TimeoutError():
            return _Temporary("no answer")
        case aiohttp.InvalidURL() | ValueError():
            return InvalidResponse("the address is not valid")
        case aiohttp.ClientConnectionError() | OSError():
            return _Temporary("the connection broke")
    return InvalidResponse("the answer is not HTTP")


def _check_status(status: int) -> None:
    """Raise SourceError unless the status is one of success."""
    if 200 <= status < 300:
        return
    if status in TRY_LATER:
        raise Throttled(f"the answer is {status}")
    if 300 <= status < 400:
        raise InvalidResponse(f"the answer is a redirect ({status}), which is not followed")
    if status in {401, 403, 404, 410}:
        raise InvalidResponse(f"the answer is {status}: there is no such check at this address")
    raise SourceError(f"the answer is {status}")
