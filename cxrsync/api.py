"""For scripts and notebooks: the same words as on the command line, as keyword arguments."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from cxrsync.cancellation import CancelToken
from cxrsync.config.job import Job
from cxrsync.config.parse_job import make_job
from cxrsync.dataset.source_factory import open_source, opened
from cxrsync.errors import UsageError
from cxrsync.events import Event, EventSink, RunSummary
from cxrsync.operations.pull import pull as run_pull
from cxrsync.sources.credentials import Ask

Report = RunSummary
"""What a pull returns."""


async def run_job(
    job: Job,
    emit: EventSink,
    stop: CancelToken | None = None,
    ask: Ask | None = None,
    distrust: Iterable[str] = (),
) -> RunSummary:
    """Pull a job from its own source. Raises what :func:`cxrsync.operations.pull.pull` raises."""
    async with opened(open_source(job, emit, ask)) as source:
        return await run_pull(job, source, emit, stop, distrust)


async def apull(**options: Any) -> Report:
    """Fetch and verify what the options name; see `cxrsync pull --help`.

    Keyword names are the option names with ``_`` for ``-``: ``dataset="mimic-cxr-jpg"``,
    ``shard=["p10"]``, ``dest=…``. Never asks for a password: set the environment or netrc.

    Returns what was done. Raises :class:`cxrsync.errors.CxrsyncError` where the run ends early;
    failures of single files are in the report (``problems``).
    """
    return await run_job(make_job(options), _ignore)


def pull(**options: Any) -> Report:
    """:func:`apull` for scripts without an event loop of their own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(apull(**options))
    raise UsageError(
        "cxrsync.pull() was called inside a running event loop",
        next_step="In a notebook, or another coroutine, say: await cxrsync.apull(…)",
    )


def _ignore(_event: Event) -> None:
    """Nobody listens: the report says it all at the end."""
