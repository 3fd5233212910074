"""The meaning of a request that got no response: aiohttp's exception in, cxrsync's error out. Pure.

The text of the exception is never shown: it may quote the head of a response, with the cookie.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime

import aiohttp
from yarl import URL

from cxrsync.errors import (
    CxrsyncError,
    Interrupted,
    InvalidResponse,
    Unreachable,
    UsageError,
)
from cxrsync.sanitize import reason_of
from cxrsync.sources.http.proxy import Proxy
from cxrsync.sources.http.response_head import describe_unreadable
from cxrsync.sources.http.tls import untrusted

_UNREADABLE = (
    "A proxy or a firewall in between may change the server's answers: try another network, or "
    "ask its administrator. If another service is at this address, check --base-url."
)


def explain_failure(
    problem: Exception, url: URL, proxy: Proxy | None, *, connected: bool, stall_timeout: float
) -> CxrsyncError:
    """Return the error for a request that got no response head.

    ``connected``: whether there was a connection. A refusal by the proxy itself is not meant here.
    """
    where = f"{url.host}" if proxy is None else f"{url.host} through {proxy}"
    match problem:
        case aiohttp.ClientConnectorCertificateError():
            whom = (
                where if problem.host == url.raw_host else problem.host
            )  # the proxy's certificate
            return untrusted(whom, problem.certificate_error, datetime.now(UTC))
        case ssl.SSLCertVerificationError():  # of the lean path
            return untrusted(where, problem, datetime.now(UTC))
        case aiohttp.ClientConnectorError():
            return Unreachable(f"cannot reach {where}: {reason_of(problem.os_error)}")
        case OSError() if not connected and problem.errno:
            return Unreachable(f"cannot reach {where}: {reason_of(problem)}")
        case TimeoutError() if not connected:
            return Unreachable(f"cannot reach {where}: timed out")
        case TimeoutError():
            return Interrupted(f"no response for {stall_timeout:g} s")
        case UnicodeError():  # an empty label, or one of more than 63 letters
            return UsageError(
                f"cannot reach {where}: not a valid host name",
                next_step="Check the address in --base-url.",
            )
        case _ if proxy is not None and not connected:
            return Unreachable(f"cannot reach {where}: invalid response")
        case OSError() if not connected:  # of the lean path: its addresses fail each in its way
            is_mixed = type(problem) is OSError
            reason = "none of its addresses answers" if is_mixed else reason_of(problem)
            return Unreachable(f"cannot reach {where}: {reason}")
        case aiohttp.ClientConnectionError() | OSError():
            return Interrupted(f"the connection broke: {reason_of(problem)}")
        case aiohttp.ClientResponseError():
            what = describe_unreadable(problem.status, problem.message)
            return InvalidResponse(what, next_step=_UNREADABLE)
    return InvalidResponse("the answer is not valid HTTP", next_step=_UNREADABLE)
