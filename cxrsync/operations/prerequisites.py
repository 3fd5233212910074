"""Fetch what is needed to resolve a selection: the manifest, and some tables.

Of a large manifest only the slices that can contain selected files are fetched; of the tables only
those whose columns the selection uses. A table may be in another dataset: for MIMIC-CXR the tables
of MIMIC-CXR-JPG are used.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from cxrsync.config.selection import Selection
from cxrsync.dataset.fetch_manifest import fetch_manifest
from cxrsync.dataset.metadata_tables import Tables, lookup_subjects, table_entry
from cxrsync.dataset.resolve_selection import fills_limit, one_file
from cxrsync.dataset.run_context import RunContext
from cxrsync.dataset.sibling_dataset import sibling_run
from cxrsync.dataset.target import Target
from cxrsync.dataset.version import destination, unknown_version_error
from cxrsync.errors import (
    AccessDenied,
    ExitCode,
    Interrupted,
    InvalidResponse,
    NotFound,
    NotServed,
    RequiredFileFailed,
    Throttled,
    Unreachable,
    UsageError,
)
from cxrsync.events import Notice
from cxrsync.manifest.file import ManifestFile
from cxrsync.manifest.filters import tables_needed
from cxrsync.manifest.key_ranges import (
    ROOT_KEYS,
    KeyRange,
    first_ranges,
    key_ranges_for,
    needs_lookup,
    with_root,
)
from cxrsync.model import Entry
from cxrsync.sync.partition_sync import SyncOrder, sync_partitions
from cxrsync.threads import run_in_thread


@dataclass(frozen=True, slots=True)
class Prerequisites:
    """Manifest and tables, as far as the selection needs them. The caller closes the manifest.

    ``fetched``: paths of the tables that were fetched into the run's own tree. They already have
    their outcome.
    """

    manifest: ManifestFile
    tables: Tables
    fetched: frozenset[str] = frozenset()


async def fetch_prerequisites(run: RunContext) -> Prerequisites:
    """Fetch the manifest and the tables that the run's selections need, and no more.

    Raises: UsageError if the version or a table does not exist, and any CxrsyncError that ends the
    run.
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
    """Fetch the manifest, or the slices that the selections need.

    Returns also the paths of the tables that were fetched to find these slices.
    """
    selections, dataset = run.job.selections, run.target.dataset
    if any(first_ranges(each, dataset) for each in selections):
        return await _fetch_first_slices(run, tables)
    keys = key_ranges_for(selections, dataset, {})
    lookups = [each for each in selections if needs_lookup(each)]
    if keys is not None or not lookups:
        return await manifest_of(run, keys), frozenset()
    # The slices depend on the subjects of the studies and images, which only tables contain.
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


async def _fetch_first_slices(
    run: RunContext, tables: Tables
) -> tuple[ManifestFile, frozenset[str]]:
    """Fetch the slices of selections of which some have a limit: of those, the first files only.

    Returns also the paths of the tables that were fetched because they decide which files count.
    """
    selections, dataset = run.job.selections, run.target.dataset
    fetched: frozenset[str] = frozenset()
    firsts: dict[Selection, KeyRange] = {}
    manifest = await manifest_of(run, ROOT_KEYS)
    try:
        for selection in selections:
            ranges = first_ranges(selection, dataset)
            for role in tables_needed(selection) if ranges else ():
                if not tables.is_given(selection, role):
                    fetched |= await _fetch_table(run, manifest, tables, role)
            for within in ranges:
                if manifest.whole:
                    return manifest, fetched
                manifest.close()
                manifest = await manifest_of(run, with_root(within), revalidate=False)
                fills = partial(fills_limit, selection, within, manifest, tables)
                if not manifest.whole and await run_in_thread(fills):
                    firsts[selection] = within
                    break
    except BaseException:
        manifest.close()
        raise
    if manifest.whole:
        return manifest, fetched
    manifest.close()
    keys = key_ranges_for(selections, dataset, {}, firsts)
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
    """Fetch the target's manifest, or its slices with ``keys``.

    Raises: UsageError if the source has no such version (404); NotServed with the server's word if
    it answers otherwise; Unreachable if the manifest cannot be fetched now; and any CxrsyncError
    that ends the run.
    """
    try:
        return await fetch_manifest(run, keys, revalidate=revalidate)
    except NotFound:
        run.target.tree.remove_created()
        slug, version = run.target.dataset.slug, run.target.version
        raise await unknown_version_error(run.source, slug, version) from None
    except NotServed as refused:
        run.target.tree.remove_created()
        what = f"cannot fetch the manifest of {run.target.name}: {refused}"
        raise type(refused)(what, next_step=refused.next_step) from None
    except (Interrupted, InvalidResponse, Throttled) as problem:
        what = f"cannot fetch the manifest of {run.target.name}: {problem}"
        raise Unreachable(what, next_step=problem.next_step) from None


async def _fetch_table(
    run: RunContext, manifest: ManifestFile, tables: Tables, role: str
) -> frozenset[str]:
    """Fetch and verify the table for ``role`` unless it is there. Return its path if it was fetched
    into the run's own tree."""
    target = tables.target_of(role)
    if target is not tables.target:
        if await run_in_thread(lambda: tables.find(role)) is None:
            await _fetch_sibling_table(run, target, role)
            if await run_in_thread(lambda: tables.find(role)) is None:
                raise _table_missing_error(run, f"the {role} table of {target.dataset.slug}")
        return frozenset()
    entry = await run_in_thread(lambda: _find_table(manifest, target, role))
    if await run_in_thread(lambda: tables.find_verified(target.tree, entry)) is not None:
        return frozenset()
    run.emit(Notice(f"{entry.path} is fetched first: the selection depends on it"))
    await sync_partitions(run, _one_table(target, manifest, entry))
    if await run_in_thread(lambda: tables.find_verified(target.tree, entry)) is None:
        raise _table_missing_error(run, entry.path)
    return frozenset({entry.path})


async def _fetch_sibling_table(run: RunContext, sibling: Target, role: str) -> None:
    """Fetch a table of another dataset, which has its own data use agreement."""
    slug = sibling.dataset.slug
    run.emit(
        Notice(f"the {role} table is in {slug}: it is fetched first, into {sibling.tree.root}")
    )
    selection = Selection(include=(sibling.dataset.tables[role],))
    other = sibling_run(run, sibling, selection)
    try:
        manifest = await manifest_of(other, ROOT_KEYS)
        try:
            entry = await run_in_thread(lambda: _find_table(manifest, sibling, role))
            await sync_partitions(other, _one_table(sibling, manifest, entry, (selection,)))
        finally:
            manifest.close()
    except AccessDenied as refused:
        raise AccessDenied(
            f"the selection depends on the {role} table, which is in {slug}, and {slug} has its "
            f"own data use agreement: {refused}",
            next_step=f"{refused.next_step}\nOr, if you have the split table, name it with "
            "--split-table FILE.",
        ) from None


def _one_table(
    target: Target,
    manifest: ManifestFile,
    entry: Entry,
    recorded_selections: tuple[Selection, ...] = (),
) -> SyncOrder:
    """Return the order for one table that is missing or wrong, whatever the state records."""
    return SyncOrder(
        one_file(target, manifest, entry), recorded_selections, frozenset({entry.path})
    )


def _find_table(manifest: ManifestFile, target: Target, role: str) -> Entry:
    entry = table_entry(manifest, target.dataset, role)
    if entry is None:
        raise UsageError(
            f"{target.name} has no table like {target.dataset.tables[role]}",
            next_step="The selection depends on it: leave out the option that needs it.",
        )
    return entry


def _table_missing_error(run: RunContext, table: str) -> RequiredFileFailed:
    """Return the error for a table that could not be fetched."""
    problem = f"{table}, on which the selection depends, could not be fetched"
    if not run.stats.limited:
        return RequiredFileFailed(problem, next_step="The lines above say why.")
    limited = RequiredFileFailed(
        f"{problem}: no more files are allowed", next_step="Allow more files."
    )
    limited.exit_code = ExitCode.LIMIT
    return limited
