"""What a job means in its version: found out with what must be fetched for that, and no more."""

from __future__ import annotations

from dataclasses import dataclass

from cxrsync.config.selection import Selection
from cxrsync.dataset.context import RunContext
from cxrsync.dataset.fetch_manifest import fetch_manifest
from cxrsync.dataset.resolve_selection import ResolvedSelection, resolve_selection
from cxrsync.dataset.sibling import other_run
from cxrsync.dataset.tables import Tables, entry_of, lookup_subjects
from cxrsync.dataset.target import Target
from cxrsync.dataset.version import destination, no_such_version
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
from cxrsync.model import ROOT, Entry
from cxrsync.stats import RunStats
from cxrsync.storage.executors import run_in_thread
from cxrsync.sync.partition_sync import sync_partitions


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a job means in its version. ``brought``: tables that had to be fetched to know it."""

    manifest: ManifestFile
    meant: ResolvedSelection
    brought: frozenset[str] = frozenset()


async def resolve(run: RunContext, stats: RunStats) -> Resolved:
    """Find out which files the job means, fetching what must be known for that and no more.

    The caller closes the manifest. Raises UsageError for what does not exist or means nothing,
    and what ends a run.
    """
    selections = run.job.selections
    tables = Tables(Target(run.tree, run.dataset, run.version), destination(run.job))
    keys = key_ranges_for(selections, run.dataset, {})
    lookups = [each for each in selections if needs_lookup(each)]
    brought: set[str] = set()
    if keys is None and lookups:
        manifest = await get_manifest(run, ROOT_KEYS)
        if not manifest.whole:
            try:
                for role in {name for each in lookups for name in _lookup_tables(each)}:
                    brought |= await _bring_table(run, stats, manifest, tables, role)
                whose = await run_in_thread(lambda: lookup_subjects(tables, lookups))
            finally:
                manifest.close()
            keys = key_ranges_for(selections, run.dataset, whose)
            manifest = await get_manifest(run, keys, ask=False)
    else:
        manifest = await get_manifest(run, keys)
    try:
        for selection in selections:
            for role in tables_needed(selection):
                if not tables.is_given(selection, role):
                    brought |= await _bring_table(run, stats, manifest, tables, role)
        meant = await run_in_thread(
            lambda: resolve_selection(selections, run.dataset, manifest, tables)
        )
    except BaseException:
        manifest.close()
        raise
    return Resolved(manifest, meant, frozenset(brought))


def _lookup_tables(selection: Selection) -> list[str]:
    studies = ["studies"] if selection.studies else []
    return studies + (["images"] if selection.images else [])


async def get_manifest(
    run: RunContext, keys: tuple[KeyRange, ...] | None, *, ask: bool = True
) -> ManifestFile:
    """The manifest, or its slices for ``keys``; what goes wrong with it in words for a person."""
    try:
        return await fetch_manifest(run, keys, ask=ask)
    except NotFound:
        run.tree.abandon()
        raise await no_such_version(run.source, run.job.dataset, run.version) from None
    except (Interrupted, InvalidResponse, Throttled) as problem:
        raise Unreachable(f"cannot get the manifest: {problem}") from None


async def _bring_table(
    run: RunContext, stats: RunStats, manifest: ManifestFile, tables: Tables, role: str
) -> set[str]:
    """Have the table that tells ``role`` here and proved; the paths in this run's own tree that
    had to be fetched for it."""
    home = tables.home_of(role)
    if home is not tables.own:
        if await run_in_thread(lambda: tables.find(role)) is None:
            await _bring_from_beside(run, stats, home, role)
            if await run_in_thread(lambda: tables.find(role)) is None:
                raise _not_arrived(f"the {role} table of {home.dataset.slug}", stats)
        return set()
    entry = await run_in_thread(lambda: _table_in(manifest, home, role))
    if await run_in_thread(lambda: tables.proved(home.tree, entry)) is not None:
        return set()
    run.emit(Notice(f"{entry.path} tells which images are meant: it comes first"))
    await _travel_for(run, stats, manifest, entry, ())
    if await run_in_thread(lambda: tables.proved(home.tree, entry)) is None:
        raise _not_arrived(entry.path, stats)
    return {entry.path}


async def _bring_from_beside(run: RunContext, stats: RunStats, home: Target, role: str) -> None:
    """The table is another dataset's, under an agreement of its own."""
    slug = home.dataset.slug
    run.emit(Notice(f"the {role} table is in {slug}: it comes first, into {home.tree.root}"))
    selection = Selection(include=(home.dataset.tables[role],))
    other = other_run(run, home, selection)
    try:
        manifest = await get_manifest(other, ROOT_KEYS)
        try:
            entry = await run_in_thread(lambda: _table_in(manifest, home, role))
            await _travel_for(other, stats, manifest, entry, (selection,))
        finally:
            manifest.close()
    except AccessDenied as refused:
        raise AccessDenied(
            f"the {role} table, which tells the images that are meant, is in {slug}, under an "
            f"agreement of its own: {refused}",
            next_step=f"Sign it at the foot of {home.dataset.agreement}, or, if you have the "
            "split table, name it with --split-table FILE.",
        ) from None


def _table_in(manifest: ManifestFile, home: Target, role: str) -> Entry:
    entry = entry_of(manifest, home.dataset, role)
    if entry is None:
        raise UsageError(
            f"{home.dataset.slug} {home.version} has no table like {home.dataset.tables[role]}",
            next_step="It tells which images are meant: leave out what needs it.",
        )
    return entry


async def _travel_for(
    run: RunContext,
    stats: RunStats,
    manifest: ManifestFile,
    table: Entry,
    remember: tuple[Selection, ...],
) -> None:
    """Bring one table that is not here, or is not what the state may still say it is."""
    meant = ResolvedSelection(lambda path: path == table.path, frozenset({ROOT}))
    await sync_partitions(run, stats, manifest, meant, remember=remember, distrust=(table.path,))


def _not_arrived(table: str, stats: RunStats) -> NotArrived:
    """The error for a table that was asked for and is not here all the same."""
    what = f"{table} tells which images are meant, and did not arrive"
    if not stats.limited:
        return NotArrived(what, next_step="What was said of it above tells why.")
    limited = NotArrived(f"{what}: no file more may be fetched", next_step="Allow more files.")
    limited.exit_code = ExitCode.LIMIT
    return limited
