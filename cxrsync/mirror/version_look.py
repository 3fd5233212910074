"""Look for newer versions of a mirror's dataset, and find out what they change.

The manifest of a newer version is fetched into the folder ``beside`` of the present tree's
``.cxrsync``: it is a tree of its own there, which no other command finds. A mirror that follows the
version gives that tree its place with one rename.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import time

from cxrsync.cancellation import CancelToken
from cxrsync.catalog.dataset_info import SPLIT
from cxrsync.catalog.load import dataset_info
from cxrsync.clock import Clock, utc_now
from cxrsync.config.job import Job
from cxrsync.config.selection import Selection
from cxrsync.dataset.known_versions import (
    Access,
    FoundVersion,
    KnownVersions,
    VersionChanges,
    read_known,
    write_known,
)
from cxrsync.dataset.local_manifest import open_local
from cxrsync.dataset.nested_trees import SIBLINGS_FOLDER
from cxrsync.dataset.resolve_selection import ResolvedSelection
from cxrsync.dataset.target import Target
from cxrsync.dataset.version import version_key
from cxrsync.errors import (
    AccessDenied,
    ManifestDamaged,
    NotFetchedYet,
    NotServed,
    Unanswered,
    UsageError,
)
from cxrsync.events import Event, EventSink, Notice, Retrying, TreeNotice, Waiting
from cxrsync.manifest.diff import Change
from cxrsync.manifest.file import ManifestFile
from cxrsync.manifest.filters import tables_needed
from cxrsync.manifest.key_ranges import (
    KeyRange,
    first_ranges,
    is_in_key_ranges,
    key_ranges_for,
    with_root,
)
from cxrsync.manifest.matcher import PathMatcher, matcher_for
from cxrsync.model import MANIFEST_NAME, RemotePath
from cxrsync.operations.diff import Comparison
from cxrsync.operations.exit_status import explained_errors
from cxrsync.operations.prepare import prepare
from cxrsync.operations.prerequisites import manifest_of
from cxrsync.plan.newer_versions import newer, next_look, unseen
from cxrsync.sources.base import Source, answer_of_any
from cxrsync.stats import RunStats
from cxrsync.storage.tree import Tree
from cxrsync.threads import run_in_thread
from cxrsync.transfer.paced_source import PacedSource
from cxrsync.transfer.rate_limit import RateLimiter


def beside(tree: Tree, dataset: str, version: str) -> Path:
    """Return the root of the tree that holds the manifest of a newer version."""
    return tree.own / SIBLINGS_FOLDER / dataset / version


def by_paths(selection: Selection) -> Selection:
    """Return the selection without what only tables decide. It selects those files, and more."""
    return replace(
        selection, splits=(), views=(), labels=(), sample=None, limit=None, split_table=""
    )


async def look(
    job: Job,
    present: Target,
    source: Source,
    emit: EventSink,
    cancel: CancelToken,
    now: Clock = time,
) -> KnownVersions:
    """Ask the source for newer versions, if that is due, and return what is known of them.

    Raises: any CxrsyncError that ends a run. What was found out before it is recorded.
    """
    tree, dataset = present.tree, present.dataset.slug
    at = now()
    known = read_known(tree)
    asked = next_look(known, present.version, at)
    if not asked.lists and asked.version is None:
        return known
    known = replace(known, looked_at=at)
    limiter = RateLimiter(job.limits.rate, emit, partial(utc_now, now))
    paced = PacedSource(source, limiter)
    try:
        with explained_errors(cancel):
            if asked.lists:
                # An API that gives no list, or is away, leaves the last one.
                listed = await _listed(paced, dataset, known.listed)
                known = replace(known, listed_at=at, listed=listed)
                known = _without_outdated(known, present.version)
            versions = unseen(known, present.version) if asked.version is None else [asked.version]
            for version in versions:
                before = known.found.get(version)
                asking = replace(job, version=version)
                first = "" if before is None else before.dataset
                found = await _answer(asking, paced, first, at)
                if found.access is Access.OPEN:
                    changes = await _fetch_changes(asking, present, paced, emit, cancel)
                    found = replace(found, changes=changes)
                known = known.with_found(version, found.told_as(before))
                if found.access is Access.OPEN:
                    break
    finally:
        await run_in_thread(lambda: write_known(tree, known))
    return known


async def newest_open_version(job: Job, source: Source, cancel: CancelToken) -> str:
    """Return the newest version of the job's dataset that the source opens to this user.

    Raises: AccessDenied if it opens none, UsageError if it lists none, Unanswered if it does not
    say now and the catalogue does not either; any CxrsyncError that ends a run.
    """
    known = await _listed(source, job.dataset)
    denied: AccessDenied | None = None
    with explained_errors(cancel):
        for version in sorted(known, key=version_key, reverse=True):
            try:
                if await _is_open(source, needed_datasets(job), version):
                    return version
            except AccessDenied as refused:
                denied = denied or refused
    if denied is not None:
        raise denied
    raise UsageError(
        f"{source.identity} lists no version of {job.dataset} that it has",
        next_step="Check dataset and base_url; or name a version.",
    )


def _without_outdated(known: KnownVersions, present: str) -> KnownVersions:
    """Return the same without what was found of versions that are not newer, or not listed, any
    more."""
    current = newer(known.listed, present)
    return replace(
        known, found={each: known.found[each] for each in current if each in known.found}
    )


async def _listed(source: Source, dataset: str, before: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the versions that the source lists; if it does not say now, those that it listed
    ``before``, else those of the catalogue. Raises Unanswered if nobody knows."""
    known = before or dataset_info(dataset).versions
    try:
        return tuple(await source.versions(dataset)) or known
    except Unanswered:
        if not known:
            raise
        return known


async def _access(source: Source, dataset: str, version: str) -> Access:
    """Request one byte of a version's manifest. Raises: AccessDenied, and any other SourceError."""
    try:
        async with answer_of_any(source, RemotePath(dataset, version, MANIFEST_NAME), 0, 1):
            return Access.OPEN
    except NotServed:
        return Access.ABSENT


async def _is_open(source: Source, datasets: Iterable[str], version: str) -> bool:
    """Return whether the source has all the datasets in a version. Raises: AccessDenied."""
    for dataset in datasets:
        if await _access(source, dataset, version) is not Access.OPEN:
            return False
    return True


def needed_datasets(job: Job) -> list[str]:
    """Return the datasets whose files a pull of the job needs, its own first."""
    dataset = dataset_info(job.dataset)
    roles = set(tables_needed(job.selection)) - dataset.tables.keys()
    if job.selection.split_table:
        roles.discard(SPLIT)
    found = [dataset.slug]
    if job.with_reports and dataset.reports_in:
        found.append(dataset.reports_in)
    if roles and dataset.tables_in:
        found.append(dataset.tables_in)
    return found


async def _answer(job: Job, source: Source, first: str, now: float) -> FoundVersion:
    """Find out whether the job's version, a newer one, can be had. ``first``: the dataset to ask
    for first: while it is not open, one request is enough. ``now``: POSIX time."""
    assert job.version is not None
    for dataset in sorted(needed_datasets(job), key=lambda each: each != first):
        try:
            access = await _access(source, dataset, job.version)
        except AccessDenied:
            access = Access.DENIED
        if access is not Access.OPEN:
            return FoundVersion(access, now, dataset)
    return FoundVersion(Access.OPEN, now)


async def _fetch_changes(
    job: Job, present: Target, source: Source, emit: EventSink, cancel: CancelToken
) -> VersionChanges | None:
    """Fetch the manifest of the job's version, a newer one, and compare it with the present one."""
    assert job.version is not None
    selection = by_paths(job.selection)
    own = replace(
        job,
        selection=selection,
        also=(),
        with_reports=False,
        dest=beside(present.tree, job.dataset, job.version).parent.parent,
    )

    def told(event: Event) -> None:
        # The run that this is a part of has begun already.
        if isinstance(event, Notice | Waiting | Retrying) and not isinstance(event, TreeNotice):
            emit(event)

    is_selected = matcher_for(selection, present.dataset)
    async with prepare(own, source, told, RunStats(), cancel) as run:
        keys = key_ranges_for((selection,), run.target.dataset, {})
        if keys is None:
            keys = await run_in_thread(lambda: _keys_here(present, job.selection))
        manifest = await manifest_of(run, keys)
        with closing(manifest):
            changes = await run_in_thread(
                lambda: _changes(present, run.target, manifest, is_selected)
            )
    return None if changes is None else replace(changes, exact=selection == job.selection)


def _keys_here(present: Target, selection: Selection) -> tuple[KeyRange, ...] | None:
    """Return the keys of the slices that the present version has for a selection with ``--limit``;
    None if it has the whole manifest, or other slices."""
    if present.tree.find(MANIFEST_NAME) is None:
        for within in reversed(first_ranges(selection, present.dataset)):
            keys = with_root(within)
            with suppress(NotFetchedYet, ManifestDamaged), closing(open_local(present.tree, keys)):
                return keys
    return None


def _changes(
    present: Target, target: Target, manifest: ManifestFile, is_selected: PathMatcher
) -> VersionChanges | None:
    """Compare the manifest of a newer version with the present one, as far as both are here.

    Returns None if the present one is not.
    """
    with ExitStack() as stack:
        try:
            keys = None if manifest.whole else manifest.keys
            before = stack.enter_context(closing(open_local(present.tree, keys)))
        except (NotFetchedYet, ManifestDamaged):
            return None

        def is_known(path: str) -> bool:
            return is_in_key_ranges(before.keys, path) and is_in_key_ranges(manifest.keys, path)

        def is_wanted(path: str) -> bool:
            return is_selected(path) and is_known(path)

        old = ResolvedSelection(present, before, is_wanted, before.partitions)
        new = ResolvedSelection(target, manifest, is_wanted, manifest.partitions)
        totals = Comparison(old, new).totals()
        changes: Counter[Change] = totals.changes
        return VersionChanges(
            added=changes[Change.ADDED],
            changed=changes[Change.CHANGED],
            removed=changes[Change.REMOVED],
            to_fetch=totals.to_download,
            bytes=totals.estimate.bytes,
            unknown=totals.estimate.unknown,
            before=sum(map(is_known, before.paths())),
            now=sum(map(is_known, manifest.paths())),
            was_sorted=before.is_sorted,
            is_sorted=manifest.is_sorted,
        )
