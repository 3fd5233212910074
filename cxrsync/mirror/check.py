"""``mirror --check``: find out what a job would do, and which credentials it would find."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from cxrsync.cancellation import CancelToken
from cxrsync.config.job import Job, SourceConfig
from cxrsync.config.job_file import MirrorJob
from cxrsync.config.permissions import Permissions
from cxrsync.dataset.shared_tree import Group, access_of, find_group, read_record
from cxrsync.dataset.source_factory import open_source, opened
from cxrsync.dataset.target import Target
from cxrsync.errors import CredentialsRefused, CxrsyncError, ExitCode, UsageError, worst_of
from cxrsync.events import EventSink, Notice
from cxrsync.mirror.trees import present_target
from cxrsync.mirror.versions import first_version, look_only
from cxrsync.model import MANIFEST_NAME, RemotePath
from cxrsync.operations.dry_run import forecast
from cxrsync.operations.exit_status import explain
from cxrsync.operations.share_tree import closed_above
from cxrsync.plan.forecast import Forecast
from cxrsync.sources import credentials
from cxrsync.sources.base import Source, answer_of_any
from cxrsync.threads import run_in_thread

KEYRING = "keyring"
VARIABLE = "PHYSIONET_PASSWORD"


@dataclass(frozen=True, slots=True)
class FoundCredentials:
    """Which credentials a job would find. ``place``: where; empty if none were found.

    ``problem``: why none were found. Datasets that are open to all need none.
    """

    place: str = ""
    problem: str = ""

    @property
    def warning(self) -> str:
        """Why they are found now, but not from cron or systemd; "" if they are."""
        if self.place == KEYRING:
            return (
                "cron and systemd open no keyring. Set PHYSIONET_USERNAME and "
                "PHYSIONET_PASSWORD_FILE, or run `cxrsync login --netrc`"
            )
        if self.place == VARIABLE:
            return (
                f"cron and systemd do not have {VARIABLE} of this shell, and a mail of cron would "
                "show it. Put the password into a file: `cxrsync mirror --print` says how"
            )
        return ""


@dataclass(frozen=True, slots=True)
class JobCheck:
    """What a job would do.

    ``credentials``: None if its source needs none. ``forecast``: None if one of ``problems``
    prevents it. ``permissions``: those that the job or its tree has, with the group ``readers``;
    None if only the owner reads the mirror. ``version``: the one that the job is about now, None if
    that cannot be found. ``news``: what there is to say about newer versions.
    """

    job: MirrorJob
    credentials: FoundCredentials | None
    forecast: Forecast | None = None
    problems: tuple[CxrsyncError, ...] = ()
    permissions: Permissions | None = None
    readers: Group | None = None
    version: str | None = None
    news: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[CxrsyncError, ...]:
        """Everything that would end the job."""
        refusal = None if self.forecast is None else self.forecast.refusal
        is_refused = refusal is not None and not self.job.job.force
        return (*self.problems, refusal) if refusal is not None and is_refused else self.problems

    @property
    def code(self) -> ExitCode:
        """The exit code of the check."""
        return worst_of(each.exit_code for each in self.errors)


async def check(job: MirrorJob, emit: EventSink, cancel: CancelToken) -> JobCheck:
    """Return what a job would do, with all problems that can be found at once.

    Fetches the manifest and the tables that its selection needs, and nothing else, except the
    manifest of a version that is new; creates no tree; asks nobody for a password.
    """
    problems: list[CxrsyncError] = []
    credentials = await run_in_thread(lambda: find_credentials(job.job.origin))
    try:
        present: Target | None = await run_in_thread(lambda: present_target(job.job))
    except CxrsyncError as problem:
        problems.append(problem)
        present = None
    sharing = await run_in_thread(lambda: _sharing(job.job, present))
    problems += [] if sharing.refusal is None else [sharing.refusal]
    if sharing.closed:
        emit(Notice(sharing.closed))
    version = job.job.version if present is None else present.version
    found = None
    news: tuple[str, ...] = ()
    try:
        async with opened(open_source(job.job, emit)) as source:
            if present is None:
                await _ask(job.job, source, cancel)
            else:
                chosen = await look_only(job, present, source, emit, cancel)
                news = chosen.news
                problems += [chosen.refusal] if chosen.refusal is not None else []
                permissions = None if sharing.refusal else job.job.permissions
                named = replace(job.job, permissions=permissions, version=version)
                found = await forecast(named, source, emit, cancel)
    except (CxrsyncError, OSError) as problem:
        error = explain(problem, cancel)
        assert isinstance(error, CxrsyncError)
        problems.append(error)
    return JobCheck(
        job,
        credentials,
        found,
        tuple(problems),
        permissions=sharing.permissions,
        readers=sharing.readers,
        version=version,
        news=news,
    )


@dataclass(frozen=True, slots=True)
class _Sharing:
    """Who reads a mirror. ``refusal``: why the job's permissions cannot be given. ``closed``: a
    warning about folders that the readers cannot enter."""

    permissions: Permissions | None
    readers: Group | None = None
    refusal: UsageError | None = None
    closed: str = ""


def _sharing(job: Job, present: Target | None) -> _Sharing:
    """Return who reads a mirror by its job, else by what its tree records."""
    record = None if present is None else read_record(present.tree)
    permissions = job.permissions or (None if record is None else record.permissions)
    try:
        access = access_of(permissions)
    except UsageError as refused:
        # What a tree records is followed where it can be, and is no error.
        return _Sharing(permissions, refusal=None if job.permissions is None else refused)
    if permissions is None or permissions.group is None:
        return _Sharing(permissions)
    readers = find_group(permissions.group)
    root = None if present is None else present.tree.root
    closed = "" if root is None else closed_above(root, permissions, access.gid)
    return _Sharing(permissions, readers, closed=closed)


async def _ask(job: Job, source: Source, cancel: CancelToken) -> None:
    """Ask for a byte of the manifest: whether the server answers, and lets this user in. Raises
    CxrsyncError."""
    version = job.version or await first_version(job, source, cancel)
    with cancel.watching(None):
        async with answer_of_any(source, RemotePath(job.dataset, version, MANIFEST_NAME), 0, 1):
            pass


def find_credentials(
    origin: SourceConfig, environ: Mapping[str, str] = os.environ
) -> FoundCredentials | None:
    """Return where user name and password would be found; None if no password is asked for."""
    if not origin.is_site:
        return None
    address = urlsplit(origin.base_url)
    try:
        found = credentials.find(address.hostname or "", origin.user, environ, port=address.port)
    except CredentialsRefused as refused:
        return FoundCredentials(problem=f"{refused}. {refused.next_step}")
    return FoundCredentials(found.found_in)
