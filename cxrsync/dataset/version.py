"""Which version of a dataset, and where in the destination it lies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cxrsync.catalog.dataset_info import suggest
from cxrsync.catalog.load import dataset_info, load
from cxrsync.config.job import Job
from cxrsync.dataset.placement import Location, wget_folders
from cxrsync.dataset.target import Target
from cxrsync.dataset.tree_parts import refuse_parts
from cxrsync.errors import NotHere, UsageError
from cxrsync.events import EventSink, Notice, TreeNotice
from cxrsync.sources.base import Source
from cxrsync.storage.layout import is_version_root
from cxrsync.storage.tree import Tree

_NUMBER = re.compile(r"[0-9]{1,18}")


def destination(job: Job) -> Location:
    """The folder that the job's trees lie in."""
    return Location(job.dest, wget_folders(job.origin.base_url))


def local_source(job: Job, folder: Path) -> Location:
    """The folder that the job's files are copied from."""
    return Location(folder, wget_folders(job.origin.base_url), "--from")


async def choose_version(job: Job, source: Source, emit: EventSink) -> str:
    """The version to work on: named, else the one in the destination, else the newest that the
    local tree has which files are copied from, else the newest known.

    Raises UsageError where there is none, or where destination and source have none in common.
    """
    if job.version is not None:
        return job.version
    place = destination(job)
    place.refuse_file()
    here = place.versions(job.dataset)
    if not here and place.own_root() is None:
        refuse_parts(place.top, job.dataset)  # before anything is asked, and with no other word
    if job.origin.from_dir is not None:
        return _version_of_source(job, job.origin.from_dir, here, emit)
    if here:
        newest = _newest(here)
        if not is_version_root(job.dest):
            emit(Notice(f"version {newest} of {job.dataset}: it is the one in {job.dest}"))
        return newest
    known: Sequence[str] = dataset_info(job.dataset).versions
    if job.dataset not in load():
        known = await source.versions(job.dataset)
    if not known:
        raise UsageError(
            f"no dataset {job.dataset} is known",
            next_step=f"Near: {suggest(job.dataset, list(load()))}. If the name is right, say "
            "--dataset-version too.",
        )
    newest = _newest(known)
    emit(Notice(f"version {newest} of {job.dataset}: the newest one known"))
    return newest


def _version_of_source(job: Job, folder: Path, here: Sequence[str], emit: EventSink) -> str:
    place = local_source(job, folder)
    there = place.versions(job.dataset)
    if not there:
        raise UsageError(f"--from {folder} holds no {job.dataset}")
    both = [version for version in here if version in there]
    if here and not both:
        raise UsageError(
            f"{job.dest} holds {job.dataset} {', '.join(here)}, and --from {folder} holds "
            f"{', '.join(there)}",
            next_step=f"Say --dataset-version {_newest(there)} to have that one too.",
        )
    newest = _newest(both or there)
    place.existing(job.dataset, newest)  # not two of them
    emit(Notice(f"version {newest} of {job.dataset}: it is the one in {folder}"))
    return newest


def find_target(job: Job, emit: EventSink) -> Target:
    """The target in the destination that the job means, for whoever only reads.

    Raises NotHere where there is none, UsageError where it is another dataset's, or ambiguous.
    """
    place = destination(job)
    version = job.version
    if version is None:
        # A version's own folder that wget filled may say nothing of its number.
        here = place.versions(job.dataset) or list(dataset_info(job.dataset).versions)
        version = _newest(here) if here else "?"
    found = place.existing(job.dataset, version)
    if found is None or not is_version_root(found.root):
        refuse_parts(place.top, job.dataset)
        raise NotHere(
            f"no {job.dataset} {version} in {job.dest}",
            next_step="Name the folder with --dest, or run `cxrsync pull` first.",
        )
    if notice := place.notice(found, job.dataset, version):
        emit(TreeNotice(notice))
    return Target(Tree(found.root), dataset_info(job.dataset), version)


async def no_such_version(source: Source, dataset: str, version: str) -> UsageError:
    """The error for a version that the source does not have, naming those it has."""
    known = await source.versions(dataset) or list(dataset_info(dataset).versions)
    if version in known:
        return UsageError(
            f"{source.identity} has no manifest of {dataset} {version}",
            next_step="Check --base-url (it ends in /files) or --from (it holds NAME/VERSION).",
        )
    if known:
        return UsageError(
            f"{dataset} has no version {version}",
            next_step=f"Its versions: {', '.join(sorted(known, key=_by_number))}.",
        )
    return UsageError(
        f"there is no dataset {dataset} (version {version})",
        next_step=f"Near: {suggest(dataset, list(load()))}.",
    )


def _newest(versions: Sequence[str]) -> str:
    return max(versions, key=_by_number)


def _by_number(version: str) -> list[tuple[int, int, str]]:
    """2.10 comes after 2.9; words after numbers."""
    parts = version.replace("-", ".").split(".")
    return [(0, int(part), "") if _NUMBER.fullmatch(part) else (1, 0, part) for part in parts]
