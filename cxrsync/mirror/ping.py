"""Ping a check, in the manner of healthchecks.io, when a run begins and when it ends.

A run that ended well is exit code 0 or 9. The body holds counts only: no path, no id, no name of a
user or a job, because the service belongs to somebody else. A broken ping never fails a mirror: its
error is returned as the text of a warning.
"""

from __future__ import annotations

from collections.abc import Iterator

from cxrsync.config.ping_url import PingURL
from cxrsync.errors import CxrsyncError
from cxrsync.mirror.report import MirrorReport
from cxrsync.sanitize import reason_of
from cxrsync.sources.http.ping import PING_SECONDS, send_ping


async def ping_start(url: PingURL, *, seconds: float = PING_SECONDS) -> str | None:
    """Say that a run begins. Return a warning if that failed, else None."""
    return await _ping(url, url.for_start(), "", seconds)


async def ping_end(
    url: PingURL, result: MirrorReport, *, seconds: float = PING_SECONDS
) -> str | None:
    """Say how a run ended. Return a warning if that failed, else None."""
    target = url.for_end(result.exit_code, is_success=result.is_good)
    return await _ping(url, target, ping_body(result), seconds)


def ping_body(result: MirrorReport) -> str:
    """Return the text that the service shows with the ping: one count a line."""
    return "".join(f"{line}\n" for line in _lines(result))


def _lines(result: MirrorReport) -> Iterator[str]:
    files = result.files
    yield f"exit code {result.exit_code}: {result.sentence}"
    yield f"jobs: {len(result.jobs)}"
    for name in ("verified", "missing", "fetched", "failed", "mismatched"):
        yield f"files {name}: {getattr(files, name)}"
    yield f"files scrubbed: {result.scrubbed_files}"
    yield f"files rotten: {result.rotten_files}"
    yield f"bytes fetched: {result.fetched_bytes}"
    yield f"bytes scrubbed: {result.scrubbed_bytes}"
    yield f"seconds: {result.seconds:.0f}"


async def _ping(url: PingURL, target: str, body: str, seconds: float) -> str | None:
    try:
        await send_ping(target, body, seconds=seconds)
    except CxrsyncError as problem:
        return f"the ping to {url.host} failed: {reason_of(problem)}; the mirror is not affected"
    return None
