"""The Python API: pull with the options of the command line as keyword arguments."""

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
from cxrsync.operations.pull import Scope
from cxrsync.operations.pull import pull as run_pull
from cxrsync.sources.credentials import Ask

Report = RunSummary
"""The result of a pull."""


async def run_job(
    job: Job,
    emit: EventSink,
    cancel: CancelToken | None = None,
    ask: Ask | None = None,
    distrust: Iterable[str] = (),
) -> RunSummary:
    """Open the source of a job and pull it.

    Raises the errors of :func:`cxrsync.operations.pull.pull`.
    """
    async with opened(open_source(job, emit, ask)) as source:
        return await run_pull(job, source, emit, cancel, Scope(frozenset(distrust)))


async def apull(*places: str, **options: Any) -> Report:
    """Fetch and verify the files that the options select; see `cxrsync pull --help`.

    ``places``: names or addresses of a dataset, or of files and folders in it.
    Keywords are the names of options with ``_`` for ``-``: ``dataset="mimic-cxr-jpg"``,
    ``shard=["p10"]``, ``dest="/data"``; ``from_dir`` stands for ``--from``. Never prompts for a
    password: it comes from the environment, keyring or netrc.

    Returns the report; failures of single files are in its ``problems``. Raises UsageError for an
    unknown option or a value of the wrong type, and any other
    :class:`cxrsync.errors.CxrsyncError` that ends the run early.
    """
    return await run_job(make_job(options, places), _ignore)


def pull(*places: str, **options: Any) -> Report:
    """Run :func:`apull` in an event loop of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(apull(*places, **options))
    raise UsageError(
        "cxrsync.pull() was called inside a running event loop",
        next_step="In a notebook or a coroutine, use: await cxrsync.apull(…)",
    )


def _ignore(_event: Event) -> None:
    """Drop events: the report contains the result."""
