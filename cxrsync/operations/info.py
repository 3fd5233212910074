"""``info``: what is known about a dataset before anything is fetched, and what of it is here.

The public API is asked once for the versions and once about one of them, without signing in; its
answers are kept for a day. What it does not tell, the catalogue and the disk do. Each fact says
where it is from.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.catalog.load import dataset_info, near_datasets
from cxrsync.catalog.table_names import is_table_name
from cxrsync.config.job import Job
from cxrsync.dataset.dataset_facts import (
    THE_CATALOGUE,
    THE_DISK,
    THE_SITE,
    DatasetFacts,
    TreeHere,
)
from cxrsync.dataset.local_manifest import open_local
from cxrsync.dataset.partition_states import partition_names
from cxrsync.dataset.tree_identity import identity_of, read_claim
from cxrsync.dataset.version import destination, version_key
from cxrsync.errors import CxrsyncError, Unanswered, UsageError
from cxrsync.events import EventSink, TreeNotice
from cxrsync.manifest.file import ManifestFile
from cxrsync.model import MANIFEST_NAME, Kind
from cxrsync.plan.estimate import CATALOGUE, PUBLISHED
from cxrsync.sources.version_info import VersionInfo
from cxrsync.storage.state_db import State
from cxrsync.storage.tree import Tree
from cxrsync.threads import run_in_thread

# Counting the lines of a larger manifest takes seconds.
_LARGE_MANIFEST = 16 << 20


class Site(Protocol):
    """What tells about datasets without a sign-in."""

    async def versions(self, dataset: str) -> list[str]:
        """Return the published versions; empty if there is no such dataset. Raises Unanswered."""

    async def about(self, dataset: str, version: str) -> VersionInfo | None:
        """Return what the site says about a version; None if there is none. Raises Unanswered."""


@dataclass(frozen=True, slots=True)
class _Listing:
    """The files of a version, as a manifest lists them."""

    files: Mapping[Kind, int]
    tables: tuple[str, ...]


async def gather_facts(job: Job, site: Site, emit: EventSink) -> DatasetFacts:
    """Return what is known about the job's dataset, and the version that it names, or the newest.

    Raises: UsageError if there is no such dataset or version; Unanswered if neither the site nor
    the catalogue nor the disk knows the dataset.
    """
    dataset = dataset_info(job.dataset)
    here = await run_in_thread(lambda: trees_here(job))
    offered, about, unanswered = None, None, ""
    try:
        offered = await site.versions(job.dataset)
    except Unanswered as silent:
        unanswered = str(silent)
        _check_is_known(dataset, here, silent)
    local = {tree.version for tree in here if tree.version}
    versions = sorted(set(offered or {*dataset.versions, *local}), key=version_key)
    version = _chosen(job, versions, local)
    if offered:
        try:
            about = await site.about(job.dataset, version)
        except Unanswered as silent:
            unanswered = str(silent)
    about = about or VersionInfo()
    listing = await run_in_thread(lambda: _listing(dataset, version, here, emit))
    size, size_from = _size(dataset, about)
    return DatasetFacts(
        dataset=dataset,
        version=version,
        versions=tuple(versions),
        versions_from=THE_SITE if offered else THE_CATALOGUE if dataset.versions else THE_DISK,
        bytes=size,
        bytes_from=size_from,
        files=dataset.counts if listing is None else listing.files,
        files_from=_files_from(dataset, listing),
        tables=dataset.table_files if listing is None else listing.tables,
        title=about.title or dataset.title,
        doi=about.doi or dataset.dois.get(version, ""),
        license=about.license or dataset.license,
        here=tuple(here),
        unanswered=unanswered,
        is_listed=None if offered is None else bool(offered),
    )


def trees_here(job: Job) -> list[TreeHere]:
    """Return the trees of the job's dataset in its destination."""
    location = destination(job)
    roots = location.trees(job.dataset)
    if (own := location.version_root()) is not None:
        identity = identity_of(own.root, job.dataset)
        if identity is None or identity.dataset == job.dataset:
            roots = [own.root, *roots]
    distinct = {os.path.realpath(root): root for root in reversed(roots)}
    found = [_tree_here(root, job.dataset) for root in distinct.values()]
    return sorted(found, key=lambda tree: version_key(tree.version))


def _tree_here(root: Path, dataset: str) -> TreeHere:
    identity = identity_of(root, dataset)
    version = "" if identity is None else identity.version
    tree = Tree(root)
    if read_claim(tree) is None:
        return TreeHere(version, root)
    files, size = 0, 0
    try:
        for name in partition_names(tree):
            state = State.read(tree.partition(name))
            if state is not None:
                with state:
                    for record in state.records():
                        if record.copy is None:
                            files, size = files + 1, size + record.size
    except CxrsyncError:  # `status` and `verify` say what is wrong with it
        return TreeHere(version, root)
    return TreeHere(version, root, files, size)


def _check_is_known(dataset: DatasetInfo, here: Sequence[TreeHere], silent: Unanswered) -> None:
    if dataset.versions or any(tree.version for tree in here):
        return
    raise Unanswered(
        f"the catalogue has no dataset {dataset.slug}, and the site does not say whether there is "
        f"one: {silent}",
        next_step=f"Similar names: {near_datasets(dataset.slug)}. If the name is right, "
        f"{dataset.agreement} shows the dataset. {silent.next_step}".rstrip(),
    )


def _chosen(job: Job, versions: Sequence[str], local: Collection[str]) -> str:
    """Return the version to tell about. Raises UsageError if there is none."""
    if not versions:
        raise UsageError(
            f"there is no dataset {job.dataset}",
            next_step=f"Similar names: {near_datasets(job.dataset)}.",
        )
    named = job.named_version
    if named is None:
        return versions[-1]
    if named not in {*versions, *local, *dataset_info(job.dataset).versions}:
        raise UsageError(
            f"{job.dataset} has no version {named}",
            next_step=f"Its versions: {', '.join(versions)}.",
        )
    return named


def _size(dataset: DatasetInfo, about: VersionInfo) -> tuple[int | None, str]:
    if about.total is not None:
        return about.total, PUBLISHED
    if not dataset.counts or not dataset.means:
        return None, ""
    return sum(count * dataset.means.get(k, 0) for k, count in dataset.counts.items()), CATALOGUE


def _files_from(dataset: DatasetInfo, listing: _Listing | None) -> str:
    if listing is not None:
        return "the manifest on this disk"
    return THE_CATALOGUE if dataset.counts else ""


def _listing(
    dataset: DatasetInfo, version: str, here: Sequence[TreeHere], emit: EventSink
) -> _Listing | None:
    """Return the files by the whole manifest of a version on this disk; None if it is not here."""
    for found in here:
        tree = Tree(found.root)
        if found.version != version:
            continue
        manifest_file = tree.find(MANIFEST_NAME)
        if manifest_file is None:
            continue
        if manifest_file.size > _LARGE_MANIFEST:
            emit(TreeNotice(f"counting the files in {tree.manifest}"))
        try:
            manifest = open_local(tree)
        except CxrsyncError:
            continue
        with closing(manifest):
            return _counted(dataset, manifest)
    return None


def _counted(dataset: DatasetInfo, manifest: ManifestFile) -> _Listing:
    files: Counter[Kind] = Counter()
    tables = []
    for path in manifest.paths():
        kind = dataset.kind_of(path)
        files[kind] += 1
        if kind is Kind.TABLES and is_table_name(path):
            tables.append(path)
    return _Listing({kind: files[kind] for kind in Kind if files[kind]}, tuple(tables))
