"""Fetch what must be here before a selection can be resolved: the manifest, and some tables.

Of a large manifest only the ranges are fetched in which selected files can be; of the tables only
those that the selection names values of. A table may be another dataset's: MIMIC-CXR-JPG has the
tables of MIMIC-CXR.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cxrsync.config.selection import Selection
from cxrsync.dataset.context import RunContext
from cxrsync.dataset.fetch_manifest import fetch_manifest
from cxrsync.dataset.resolve_selection import one_file
from cxrsync.dataset.sibling import sibling_run
from cxrsync.dataset.tables import Tables, lookup_subjects, table_entry
from cxrsync.dataset.target import Target
from cxrsync.dataset.version import destination, unknown_version_error
from cxrsync.errors import (
    AccessDenied,
    ExitCode,
    Interrupted,
    InvalidResponse,
    NotArrived,
    NotFound,
    Throttled,
    Unreachable,
    UsageError,
)
from cxrsync.events import Notice
from cxrsync.manifest.file import ManifestFile
from cxrsync.manifest.filters import tables_needed
from cxrsync.manifest.key_ranges import ROOT_KEYS, KeyRange, key_ranges_for, needs_lookup
from cxrsync.model import Entry
from cxrsync.storage.executors import run_in_thread
from cxrsync.sync.partition_sync import SyncOrder, sync_partitions


@dataclass(frozen=True, slots=True)
class Prerequisites:
    """Manifest and tables, as far as the selection needs them. The caller closes the manifest.

    ``fetched``: paths of the tables in the run's own tree that were fetched on the way. They have
    their outcome.
    """

    manifest: ManifestFile
    tables: Tables
    fetched: frozenset[str] = frozenset()


async def fetch_prerequisites(run: RunContext) -> Prerequisites:
    """Have the manifest and the tables here that the run's selections need, and no more.

    Raises UsageError for a version or table that does not exist, and what ends a run.
    """
    selections = run.job.selections
    tables = Tables(run.target, destination(run.job))
    manifest, fetched = await _fetch_manifest(run, tables)
    try:
        for selection in selections:
            for role in tables_needed(selection):
                if not tables.is_given(selection, role):
                    fetched |= await _fetch_table(run, manifest, tables, role)
    except BaseException:
        manifest.close()
        raise
    return Prerequisites(manifest, tables, fetched)


async def _fetch_manifest(run: RunContext, tables: Tables) -> tuple[ManifestFile, frozenset[str]]:
    """The manifest, or the ranges that the selections need; and the tables fetched to know them."""
    selections, dataset = run.job.selections, run.target.dataset
    keys = key_ranges_for(selections, dataset, {})
    lookups = [each for each in selections if needs_lookup(each)]
    if keys is not None or not lookups:
        return await manifest_of(run, keys), frozenset()
    # Only tables tell the subjects of studies and images, and with them the ranges.
    manifest = await manifest_of(run, ROOT_KEYS)
    if manifest.whole:
        return manifest, frozenset()
    fetched: frozenset[str] = frozenset()
    try:
        for role in _lookup_tables(lookups):
            fetched |= await _fetch_table(run, manifest, tables, role)
        subjects = await run_in_thread(lambda: lookup_subjects(tables, lookups))
    finally:
        manifest.close()
    keys = key_ranges_for(selections, dataset, subjects)
    return await manifest_of(run, keys, revalidate=False), fetched


def _lookup_tables(selections: Iterable[Selection]) -> list[str]:
    roles = set()
    for selection in selections:
        roles |= {"studies"} if selection.studies else set()
        roles |= {"images"} if selection.images else set()
    return sorted(roles)


async def manifest_of(
    run: RunContext, keys: tuple[KeyRange, ...] | None, *, revalidate: bool = True
) -> ManifestFile:
    """The target's manifest, or its slices for ``keys``. Raises UsageError where the source has no
    such version, Unreachable where the manifest does not arrive, and what ends a run."""
    try:
        return await fetch_manifest(run, keys, revalidate=revalidate)
    except NotFound:
        run.target.tree.remove_created()
        slug, version = run.target.dataset.slug, run.target.version
        raise await unknown_version_error(run.source, slug, version) from None
    except (Interrupted, InvalidResponse, Throttled) as problem:
        raise Unreachable(f"cannot get the manifest: {problem}") from None


async def _fetch_table(
    run: RunContext, manifest: ManifestFile, tables: Tables, role: str
) -> frozenset[str]:
    """Have the table for ``role`` here and verified. Its path, where it was fetched into the run's
    own tree now."""
    target = tables.target_of(role)
    if target is not tables.target:
        if await run_in_thread(lambda: tables.find(role)) is None:
            await _fetch_sibling_table(run, target, role)
            if await run_in_thread(lambda: tables.find(role)) is None:
                raise _not_arrived(run, f"the {role} table of {target.dataset.slug}")
        return frozenset()
    entry = await run_in_thread(lambda: _table_in(manifest, target, role))
    if await run_in_thread(lambda: tables.find_verified(target.tree, entry)) is not None:
        return frozenset()
    run.emit(Notice(f"{entry.path} tells which images are selected: it is fetched first"))
    await sync_partitions(run, _one_table(target, manifest, entry))
    if await run_in_thread(lambda: tables.find_verified(target.tree, entry)) is None:
        raise _not_arrived(run, entry.path)
    return frozenset({entry.path})


async def _fetch_sibling_table(run: RunContext, sibling: Target, role: str) -> None:
    """Fetch a table of another dataset, which has a data use agreement of its own."""
    slug = sibling.dataset.slug
    run.emit(
        Notice(f"the {role} table is in {slug}: it is fetched first, into {sibling.tree.root}")
    )
    selection = Selection(include=(sibling.dataset.tables[role],))
    other = sibling_run(run, sibling, selection)
    try:
        manifest = await manifest_of(other, ROOT_KEYS)
        try:
            entry = await run_in_thread(lambda: _table_in(manifest, sibling, role))
            await sync_partitions(other, _one_table(sibling, manifest, entry, (selection,)))
        finally:
            manifest.close()
    except AccessDenied as refused:
        raise AccessDenied(
            f"the {role} table, which tells the images that are selected, is in {slug}, under an "
            f"agreement of its own: {refused}",
            next_step=f"Sign it at the foot of {sibling.dataset.agreement}, or, if you have the "
            "split table, name it with --split-table FILE.",
        ) from None


def _one_table(
    target: Target,
    manifest: ManifestFile,
    entry: Entry,
    recorded_selections: tuple[Selection, ...] = (),
) -> SyncOrder:
    """Fetch one table that is not here, or is wrong whatever the state says."""
    return SyncOrder(
        one_file(target, manifest, entry), recorded_selections, frozenset({entry.path})
    )


def _table_in(manifest: ManifestFile, target: Target, role: str) -> Entry:
    entry = table_entry(manifest, target.dataset, role)
    if entry is None:
        raise UsageError(
            f"{target.name} has no table like {target.dataset.tables[role]}",
            next_step="It tells which images are selected: leave out what needs it.",
        )
    return entry


def _not_arrived(run: RunContext, table: str) -> NotArrived:
    """The error for a table that was fetched and is not here all the same."""
    what = f"{table} tells which images are selected, and did not arrive"
    if not run.stats.limited:
        return NotArrived(what, next_step="The lines above say why.")
    limited = NotArrived(f"{what}: no file more may be fetched", next_step="Allow more files.")
    limited.exit_code = ExitCode.LIMIT
    return limited
