"""Choose the version of a dataset, and find its tree in the destination."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cxrsync.catalog.load import dataset_info, load, load_stores, near_datasets
from cxrsync.config.job import LATEST, Job
from cxrsync.config.store_places import named_version
from cxrsync.dataset.nested_trees import refuse_part_of_tree
from cxrsync.dataset.shared_tree import recorded_access
from cxrsync.dataset.target import Target
from cxrsync.dataset.tree_location import Location, wget_folders
from cxrsync.errors import NotFetchedYet, Unanswered, UsageError
from cxrsync.events import EventSink, Notice, TreeNotice
from cxrsync.sources.base import Source
from cxrsync.storage.layout import is_version_root
from cxrsync.storage.tree import Tree

_NUMBER = re.compile(r"[0-9]{1,18}")


def destination(job: Job) -> Location:
    """Return the folder that holds, or will hold, the job's trees."""
    return Location(job.dest, wget_folders(job.origin.base_url))


def local_source(job: Job, folder: Path) -> Location:
    """Return the folder that the job copies files from."""
    return Location(folder, wget_folders(job.origin.base_url), "--from")


def pick_version(
    named: str | None, local: Sequence[str], offered: Sequence[str] = (), known: Sequence[str] = ()
) -> str | None:
    """Return the version that a job is about; None if nothing tells.

    It is the one that the job names; else the newest one that the destination (``local``) and the
    folder of ``--from`` (``offered``) have in common; else the newest one that one of them has,
    the destination first; else the newest one known.
    """
    if named is not None:
        return named
    common = [version for version in local if version in offered]
    candidates = next((each for each in (common, local, offered, known) if each), ())
    return max(candidates, key=version_key, default=None)


async def choose_version(job: Job, source: Source, emit: EventSink) -> str:
    """Return the version that the job is about, as :func:`pick_version` does.

    Raises: UsageError if no version is known, or if destination and ``--from`` have none in common;
    Unanswered if the source does not say now which versions there are.
    """
    if job.version == LATEST:
        return await _newest(job, source, emit)
    if job.version is not None:
        return job.version
    location = destination(job)
    location.refuse_file()
    local = location.versions(job.dataset)
    if not local and location.version_root() is None:
        # Before the server is asked, and before any other notice.
        refuse_part_of_tree(location.top, job.dataset)
    if job.origin.from_dir is not None:
        return _version_of_source(job, job.origin.from_dir, local, emit)
    for store in job.origin.stores:
        if (named := named_version(store, load_stores())) is not None:
            return named[1]
    known: Sequence[str] = dataset_info(job.dataset).versions
    if not local and job.dataset not in load():
        known = await _published_versions(job.dataset, source)
    version = pick_version(None, local, known=known)
    if version is None:
        raise UsageError(
            f"no dataset {job.dataset} is known",
            next_step=f"Near: {near_datasets(job.dataset)}. If the name is right, "
            "say --dataset-version too.",
        )
    if not local:
        emit(Notice(f"using version {version} of {job.dataset}, the newest one known"))
    elif not is_version_root(job.dest):
        emit(Notice(f"using version {version} of {job.dataset}, which is in {job.dest}"))
    return version


async def _newest(job: Job, source: Source, emit: EventSink) -> str:
    """Return the newest version that the source lists or the catalogue knows.

    Raises: UsageError if no version is known, Unanswered if the source does not say now.
    """
    if job.origin.from_dir is not None:
        offered: Sequence[str] = local_source(job, job.origin.from_dir).versions(job.dataset)
    else:
        offered = await _listed_or_catalogued(job.dataset, source, emit)
    version = pick_version(None, (), known=offered)
    if version is None:
        raise UsageError(
            f"it is not known which version of {job.dataset} is the newest",
            next_step=f"Near: {near_datasets(job.dataset)}. If the name is right, name a version.",
        )
    emit(Notice(f"using version {version} of {job.dataset}, the newest one known"))
    return version


def _version_of_source(job: Job, folder: Path, local: Sequence[str], emit: EventSink) -> str:
    location = local_source(job, folder)
    offered = location.versions(job.dataset)
    if not offered:
        location.refuse_forbidden(job.dataset)
        raise UsageError(
            f"--from {folder} holds no {job.dataset}",
            next_step=f"A tree lies in DIR/{job.dataset}/VERSION, or DIR itself is one.",
        )
    version = pick_version(None, local, offered)
    if version not in offered:
        raise UsageError(
            f"{job.dest} holds {job.dataset} {', '.join(local)}, and --from {folder} holds "
            f"{', '.join(offered)}",
            next_step=f"Say --dataset-version {pick_version(None, offered)} to have that one too.",
        )
    location.find_existing(job.dataset, version)  # raises if there are two trees of it
    emit(Notice(f"using version {version} of {job.dataset}, which is in {folder}"))
    return version


def find_target(job: Job, emit: EventSink) -> Target:
    """Return the existing target of a job in its destination; create nothing.

    Raises: NotFetchedYet if there is none, DiskError if we may not enter it, UsageError if the tree
    is another dataset's or if there are two such trees.
    """
    location = destination(job)
    # The root of a version that wget filled may not say which version it is.
    known = dataset_info(job.dataset).versions
    # The newest one of those in the destination is meant here, whatever the server has.
    version = pick_version(job.named_version, location.versions(job.dataset), known=known) or "?"
    found = location.find_existing(job.dataset, version)
    if found is None or not is_version_root(found.root):
        location.refuse_forbidden(job.dataset, version)
        refuse_part_of_tree(location.top, job.dataset)
        raise NotFetchedYet(
            f"there is no {job.dataset} {version} in {job.dest}",
            next_step="Name the folder with --dest, or run `cxrsync pull` first.",
        )
    if notice := location.notice(found, job.dataset, version):
        emit(TreeNotice(notice))
    tree = Tree(found.root)
    tree.access, _note = recorded_access(tree)  # a scrub writes to the states
    return Target(tree, dataset_info(job.dataset), version)


async def _listed_or_catalogued(dataset: str, source: Source, emit: EventSink) -> list[str]:
    """Return the versions that the source lists and those that the catalogue knows. Raises
    Unanswered if the source does not say now, and the catalogue knows none."""
    catalogued = list(dataset_info(dataset).versions)
    try:
        return [*await source.versions(dataset), *catalogued]
    except Unanswered as silent:
        if not catalogued:
            raise _versions_unknown_error(dataset, silent) from None
        emit(Notice(f"only the catalogue says which versions of {dataset} there are: {silent}"))
        return catalogued


async def _published_versions(dataset: str, source: Source) -> list[str]:
    """Return the versions of a dataset that the catalogue does not have. Raises Unanswered."""
    try:
        return await source.versions(dataset)
    except Unanswered as silent:
        raise _versions_unknown_error(dataset, silent) from None


def _versions_unknown_error(dataset: str, silent: Unanswered) -> Unanswered:
    return Unanswered(
        f"the catalogue has no dataset {dataset}, and the site does not say which versions "
        f"there are: {silent}",
        next_step=f"Name the version with --dataset-version; {dataset_info(dataset).agreement} "
        f"shows it. {silent.next_step}".rstrip(),
    )


async def unknown_version_error(source: Source, dataset: str, version: str) -> UsageError:
    """Return the error for a version that the source does not have (404); it names those it has.

    That the source does not say now which versions there are is never taken for "there is none".
    """
    catalogued = list(dataset_info(dataset).versions)
    if version in catalogued:  # its page exists: the place of the files is wrong
        return _no_manifest_error(source, dataset, version)
    unanswered = ""
    try:
        known = await source.versions(dataset)
    except Unanswered as silent:
        known, unanswered = [], str(silent)
    if version in known:
        return _no_manifest_error(source, dataset, version)
    if known or catalogued:
        names = ", ".join(sorted(known or catalogued, key=version_key))
        return UsageError(
            f"{dataset} has no version {version}",
            next_step=f"Its versions: {names}."
            + (f" (So says the catalogue: {unanswered}.)" if unanswered else ""),
        )
    near = near_datasets(dataset)
    if unanswered:
        return UsageError(
            f"{source.identity} has no manifest of {dataset} {version}, and the site does not say "
            f"whether there is such a dataset: {unanswered}",
            next_step=f"Check name and version at {dataset_info(dataset).agreement}. Near: {near}.",
        )
    return UsageError(
        f"there is no dataset {dataset} (version {version})", next_step=f"Near: {near}."
    )


def _no_manifest_error(source: Source, dataset: str, version: str) -> UsageError:
    return UsageError(
        f"{source.identity} has no manifest of {dataset} {version}",
        next_step="Check --base-url (it ends in /files) or --from (it holds NAME/VERSION).",
    )


def version_key(version: str) -> list[tuple[int, int, str]]:
    """Return the sort key of a version: 2.10 follows 2.9, and words follow numbers."""
    parts = version.replace("-", ".").split(".")
    return [(0, int(part), "") if _NUMBER.fullmatch(part) else (1, 0, part) for part in parts]
