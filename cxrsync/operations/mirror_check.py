"""``mirror --check``: find out what a job would do, and which credentials it would find."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from cxrsync.cancellation import CancelToken
from cxrsync.config.job import SourceConfig
from cxrsync.config.job_file import MirrorJob
from cxrsync.dataset.source_factory import open_source, opened
from cxrsync.errors import CredentialsRefused, CxrsyncError, ExitCode
from cxrsync.events import EventSink
from cxrsync.operations.dry_run import forecast
from cxrsync.operations.exit_status import explain
from cxrsync.operations.mirror_trees import marked_tree
from cxrsync.plan.forecast import Forecast
from cxrsync.sources import credentials
from cxrsync.threads import run_in_thread

KEYRING = "keyring"


@dataclass(frozen=True, slots=True)
class FoundCredentials:
    """Which credentials a job would find. ``place``: where; empty if none were found.

    ``problem``: why none were found. Datasets that are open to all need none.
    """

    place: str = ""
    problem: str = ""

    @property
    def is_risky(self) -> bool:
        """Whether they are found now, but not from cron, which opens no keyring."""
        return self.place == KEYRING


@dataclass(frozen=True, slots=True)
class JobCheck:
    """What a job would do. ``credentials``: None if its source needs none. ``forecast``: None if
    ``error`` prevents it."""

    job: MirrorJob
    credentials: FoundCredentials | None
    forecast: Forecast | None = None
    error: CxrsyncError | None = None

    @property
    def code(self) -> ExitCode:
        """The exit code of the check."""
        refusal = None if self.forecast is None else self.forecast.refusal
        if self.error is None and refusal is not None and not self.job.job.force:
            return refusal.exit_code
        return ExitCode.COMPLETE if self.error is None else self.error.exit_code


async def check(job: MirrorJob, emit: EventSink, cancel: CancelToken) -> JobCheck:
    """Return what a job would do. Fetches the manifest and the tables that its selection needs, and
    nothing else; creates no tree; asks nobody for a password."""
    found = await run_in_thread(lambda: find_credentials(job.job.origin))
    try:
        await run_in_thread(lambda: marked_tree(job.job))
        async with opened(open_source(job.job, emit)) as source:
            return JobCheck(job, found, await forecast(job.job, source, emit, cancel))
    except (CxrsyncError, OSError) as problem:
        error = explain(problem, cancel)
        assert isinstance(error, CxrsyncError)
        return JobCheck(job, found, error=error)


def find_credentials(
    origin: SourceConfig, environ: Mapping[str, str] = os.environ
) -> FoundCredentials | None:
    """Return where user name and password would be found; None for a tree on a local disk."""
    if origin.from_dir is not None:
        return None
    address = urlsplit(origin.base_url)
    try:
        found = credentials.find(address.hostname or "", origin.user, environ, port=address.port)
    except CredentialsRefused as refused:
        return FoundCredentials(problem=f"{refused}. {refused.next_step}")
    return FoundCredentials(found.found_in)
