"""Which version a job of a mirror is about: the one that it names, or the newest one.

1. The present version is that of the newest tree that was begun. Only a marked tree counts.
2. Once a day the source is asked for newer ones (:mod:`cxrsync.mirror.version_look`). What is
   found out is told once.
3. A job that follows the newest version goes on with it as soon as its manifest is here. Its tree
   lies beside the present one; the pull reuses what is unchanged.
4. When its files are complete and verified, older versions are moved to the trash
   (:mod:`cxrsync.mirror.old_versions`).
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import partial
from time import time

from cxrsync.cancellation import CancelToken
from cxrsync.catalog.load import dataset_info
from cxrsync.clock import Clock
from cxrsync.config.job import Job
from cxrsync.config.job_file import MirrorJob
from cxrsync.dataset.known_versions import KnownVersions, read_known, write_known
from cxrsync.dataset.target import Target
from cxrsync.dataset.version import destination
from cxrsync.errors import CredentialsRefused, CxrsyncError, DiskError, RefusedForSafety, Stopped
from cxrsync.events import EventSink, Notice
from cxrsync.mirror import version_news
from cxrsync.mirror.old_versions import discard_old_versions
from cxrsync.mirror.scrub import EmitFor
from cxrsync.mirror.trees import is_begun, marked_versions, present_target
from cxrsync.mirror.version_look import beside, look, newest_open_version
from cxrsync.operations.exit_status import is_callers_cancellation
from cxrsync.operations.prepare import create_tree
from cxrsync.operations.pull import seconds_left
from cxrsync.plan.newer_versions import version_to_follow
from cxrsync.sanitize import reason_of
from cxrsync.sources.base import Source
from cxrsync.storage.filesystem import sync_folders
from cxrsync.threads import run_in_thread


@dataclass(frozen=True, slots=True)
class ChosenVersion:
    """The version that a job is about now, and what is known of newer ones.

    ``is_known``: False if it could not be found out, so that nothing is to be fetched. ``news``:
    what has not been told yet. ``refusal``: why a newer version is not followed, if a
    person must decide. ``remark``: the newer versions, in a few words.
    """

    target: Target
    known: KnownVersions = field(default_factory=KnownVersions)
    news: tuple[str, ...] = ()
    refusal: RefusedForSafety | None = None
    remark: str = ""
    is_known: bool = True


class Versions:
    """The versions that the jobs of a mirror are about, by the names of the jobs.

    ``news``: what was told for the first time.
    """

    def __init__(self, emit_for: EmitFor, now: Clock) -> None:
        self._emit_for = emit_for
        self._now = now
        self.chosen: dict[str, ChosenVersion] = {}
        self.news: dict[str, list[str]] = defaultdict(list)

    async def choose(self, job: MirrorJob, source: Source, cancel: CancelToken) -> Target:
        """Return the tree and version that a job is about. Raises: as :func:`choose_version`."""
        chosen = await choose_version(job, source, self._emit_for(job), cancel, self._now)
        self.chosen[job.name] = chosen
        return chosen.target

    async def keep_present(self, job: MirrorJob) -> Target | None:
        """Return the present tree and version of a job for which :meth:`choose` raised an error;
        None if there is none. It may be scrubbed, and is not to be pulled."""
        try:
            present = await run_in_thread(lambda: present_target(job.job))
        except (CxrsyncError, OSError):
            return None
        self.chosen[job.name] = ChosenVersion(present, is_known=False)
        return present

    async def tell(self, job: MirrorJob) -> None:
        """Emit what was not told before about a job's versions, and record that it was told."""
        chosen, emit = self.chosen[job.name], self._emit_for(job)
        self.news[job.name] += chosen.news
        if not chosen.known.found:  # a version that is followed was told at once
            return
        for text in chosen.news:
            emit(Notice(text))
        told = version_news.with_all_told(chosen.known, told=True)
        if told != chosen.known:
            await run_in_thread(lambda: write_known(chosen.target.tree, told))

    async def discard_surplus(self, job: MirrorJob) -> None:
        """Move the versions that a job no longer keeps to the trash. Its own must be complete."""
        keep: int | None = job.settings.get("keep_versions")
        if keep is None and not job.follows_latest:
            return
        texts: list[str] = []
        present, tell, now = self.chosen[job.name].target, texts.append, self._now
        await run_in_thread(lambda: discard_old_versions(job.job, present, keep, tell, now))
        for text in texts:
            self._emit_for(job)(Notice(text))


async def choose_version(
    job: MirrorJob, source: Source, emit: EventSink, cancel: CancelToken, now: Clock = time
) -> ChosenVersion:
    """Return the version that a job is about; begin the tree of a newer one that it follows.

    Raises: RefusedForSafety, UsageError as :func:`present_target`; AccessDenied if nothing was
    begun and no version is open; CredentialsRefused; Stopped by a signal; DiskError.
    """
    follows = job.follows_latest
    present = await run_in_thread(lambda: present_target(job.job))
    if not seconds_left(job.job.limits.window, now):
        return ChosenVersion(present)
    if follows and not is_begun(present.tree):
        first = await newest_open_version(job.job, source, cancel)
        if first == present.version:
            return ChosenVersion(present)
        return ChosenVersion(await _begin(job.job, present, first, emit))
    known = await _look(job.job, present, source, emit, cancel, now)
    version = version_to_follow(known, present.version) if follows else None
    if version is not None:
        changes = version_news.changes_in_words(known.found[version].changes, present.version)
        try:
            target = await _begin(job.job, present, version, emit)
        except RefusedForSafety as refused:
            return ChosenVersion(present, refusal=refused)
        text = f"version {version} of {target.dataset.slug} is published{changes}"
        emit(Notice(f"{text}; the mirror follows it"))
        return ChosenVersion(target, news=(text,))
    return _describe(present, known, follows=follows)


async def look_only(
    job: MirrorJob, present: Target, source: Source, emit: EventSink, cancel: CancelToken
) -> ChosenVersion:
    """Return the present version, with all that is to be said about newer ones; follow none.

    A person asks for it, so it is done at any hour, whatever the job's window.

    Raises: CredentialsRefused, Stopped.
    """
    at_any_hour = replace(job.job, limits=replace(job.job.limits, window=None))
    known = await _look(at_any_hour, present, source, emit, cancel, time)
    known = version_news.with_all_told(known, told=False)
    return _describe(present, known, follows=job.follows_latest)


def _describe(present: Target, known: KnownVersions, *, follows: bool) -> ChosenVersion:
    about = known, present.version, present.dataset
    return ChosenVersion(
        present,
        known,
        tuple(version_news.news(*about, follows=follows)),
        version_news.refusal(*about, follows=follows),
        version_news.short(known, present.version),
    )


async def first_version(job: Job, source: Source, cancel: CancelToken) -> str:
    """Return the version with which a job that follows the newest one begins: that of its tree, if
    it has one, else the newest one that is open.

    Raises: AccessDenied, UsageError, and any CxrsyncError that ends a run.
    """
    if await run_in_thread(lambda: marked_versions(job)):
        return (await run_in_thread(lambda: present_target(job))).version
    return await newest_open_version(job, source, cancel)


async def _look(
    job: Job, present: Target, source: Source, emit: EventSink, cancel: CancelToken, now: Clock
) -> KnownVersions:
    """Look for newer versions; what prevents it is a notice, and the pull meets it, too.

    Raises: CredentialsRefused, Stopped.
    """
    try:
        with cancel.ending(partial(seconds_left, job.limits.window, now)):
            return await look(job, present, source, emit, cancel, now)
    except (CredentialsRefused, Stopped):
        raise
    except CxrsyncError as problem:
        emit(Notice(f"newer versions could not be looked for: {reason_of(problem)}"))
    except asyncio.CancelledError as problem:  # the window ends
        if is_callers_cancellation(problem, cancel):
            raise
    return await run_in_thread(lambda: read_known(present.tree))


async def _begin(job: Job, present: Target, version: str, emit: EventSink) -> Target:
    """Create the tree of a version beside the present one, with the manifest that is here.

    Raises: RefusedForSafety if it would be on another file system; UsageError, DiskError.
    """
    await run_in_thread(lambda: _give_place(job, present, version))
    tree = await create_tree(job, version, emit)
    return Target(tree, dataset_info(job.dataset), version)


def _give_place(job: Job, present: Target, version: str) -> None:
    place = destination(job).find(job.dataset, version)
    if place.exists:
        return
    parent = place.root.parent
    if os.stat(parent).st_dev != os.stat(present.tree.root).st_dev:
        raise RefusedForSafety(
            f"version {version} of {job.dataset} is published, but {place.root} would be on "
            f"another disk than {present.tree.root}: nothing was created",
            next_step=f'Mount a disk at {place.root}, write dataset_version: "{version}", run '
            "cxrsync mirror --init, and the mirror once. Then dataset_version: latest goes on with "
            "it.",
        )
    fetched = beside(present.tree, job.dataset, version)
    if not os.path.isdir(fetched):
        return
    try:
        os.rename(fetched, place.root)
        sync_folders([str(parent)])
    except OSError as problem:
        raise DiskError(
            f"version {version} of {job.dataset} is published, but its tree {place.root} cannot be "
            f"made: {reason_of(problem)}",
            next_step=f"Let this user make folders in {parent}; or name the version in the job.",
        ) from None
