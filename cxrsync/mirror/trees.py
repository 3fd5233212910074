"""The trees of a mirror: the marker that each must have, its last complete run, a run at work.

The marker is the version's folder ``.cxrsync``. Without it nothing is created: an unmounted disk
must not look like a tree in which everything is missing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from cxrsync import humanize
from cxrsync.catalog.load import dataset_info
from cxrsync.clock import time_of
from cxrsync.config.job import Job
from cxrsync.dataset.partition_states import partition_names, pulled_selections
from cxrsync.dataset.target import Target
from cxrsync.dataset.version import destination, version_key
from cxrsync.errors import CxrsyncError, ExitCode, RefusedForSafety, UsageError
from cxrsync.events import RunSummary
from cxrsync.model import OWN_FOLDER
from cxrsync.operations.run_log import RUNS_FOLDER, other_runs, run_names, write_summary
from cxrsync.storage.filesystem import read_json
from cxrsync.storage.state_snapshot import STATE_NAME
from cxrsync.storage.trash import TRASH_FOLDER
from cxrsync.storage.tree import Tree

# A run that has published nothing for so long is not at work any more, whatever it seems.
IDLE_SECONDS = 86_400.0


def marked_tree(job: Job) -> Tree:
    """Return the tree of a job; create nothing. For a job that names no version it is that of the
    present one.

    Raises: RefusedForSafety if the tree has no marker; UsageError if there are two such trees, or
    if the tree is of another dataset or version.
    """
    return present_target(job).tree


def present_target(job: Job) -> Target:
    """Return the tree of a job with its version; create nothing.

    If the job names no version, the present one is the newest marked one that has been begun, else
    the newest marked one.

    Raises: as :func:`marked_tree`; UsageError if such a job's destination is itself a version's
    tree, which leaves no place for another version.
    """
    location = destination(job)
    location.refuse_file()
    version = job.version
    if version is None:
        own = location.version_root()
        if own is not None:
            raise UsageError(
                f"{job.dest} is the tree of one version: the next one has no place there",
                next_step="Name the folder that holds, or is to hold, DATASET/VERSION in dest; or "
                "name the version.",
            )
        marked = marked_versions(job)
        newest = sorted(marked, key=lambda each: (is_begun(marked[each]), version_key(each)))
        version = newest[-1] if newest else None
    found = None if version is None else location.find_existing(job.dataset, version)
    if found is not None and os.path.isdir(found.root / OWN_FOLDER):
        assert version is not None
        return Target(Tree(found.root), dataset_info(job.dataset), version)
    location.refuse_forbidden(job.dataset, version)
    name = f"{job.dataset} {version or ''}".rstrip()
    if not os.path.isdir(job.dest):
        what = f"{job.dest} does not exist, so there is no mirror of {name}"
    elif found is None:
        what = f"{job.dest} holds no mirror of {name}"
    else:
        what = f"{found.root} holds no folder {OWN_FOLDER}, so it is no mirror of cxrsync's"
    raise RefusedForSafety(
        f"{what}: nothing was created",
        next_step="Is the disk mounted? For a new mirror, or a tree that wget made, run once: "
        "cxrsync mirror --init FILE",
    )


def with_present_version(job: Job) -> Job:
    """Return the job with the version of its present tree, if it names none and has a tree."""
    if job.version is not None:
        return job
    try:
        return replace(job, version=present_target(job).version)
    except (CxrsyncError, OSError):
        return job


def marked_versions(job: Job) -> dict[str, Tree]:
    """Return the marked trees of a job's dataset in its destination, by version.

    Raises: UsageError if there are two trees of one version.
    """
    location = destination(job)
    found = {}
    for dataset, version in location.claimed():
        if dataset == job.dataset:
            place = location.find_existing(dataset, version)
            if place is not None:
                found[version] = Tree(place.root)
    return found


def version_instead(job: Job, tree: Tree) -> str | None:
    """Return the version whose tree has ``tree`` in its trash, because another run of the mirror
    follows it; None if that is not why a tree is gone. ``tree``: one of the job's."""
    if os.path.lexists(tree.root):
        return None
    with suppress(CxrsyncError, OSError):
        for version, other in marked_versions(job).items():
            if any((other.own / TRASH_FOLDER).glob(f"*/{tree.root.name}/{OWN_FOLDER}")):
                return version
    return None


def is_begun(tree: Tree) -> bool:
    """Return whether files were pulled into a tree. A manifest alone, which ``diff`` fetches too,
    is none."""
    try:
        return bool(pulled_selections(tree))
    except UsageError:  # a state that cannot be read
        return True


def is_same_tree(one: Tree, other: Tree) -> bool:
    """Return whether two trees are one folder; no if one of them is gone by now."""
    try:
        return os.path.samefile(one.root, other.root)
    except OSError:
        return False


def waiting_since(tree: Tree, now: float) -> tuple[str, str]:
    """Return the sort key of a job: the time of its last complete run, then of its last run.

    The job that has waited longest is the smallest. A time is empty if there was no such run.
    """
    folder = tree.own / RUNS_FOLDER
    try:
        names = run_names(folder, now)
    except OSError:
        return "", ""
    for name in reversed(names):
        with suppress(OSError, ValueError, KeyError, TypeError):
            if read_json(folder / name)["exit_code"] == ExitCode.COMPLETE:
                return name, names[-1]
    return "", names[-1] if names else ""


@dataclass(frozen=True, slots=True)
class RunAtWork:
    """A run that works on a tree now. ``idle``: for how many seconds it has published nothing."""

    words: str
    idle: float

    @property
    def is_stuck(self) -> bool:
        """Whether a person should look at it."""
        return self.idle > IDLE_SECONDS

    def __str__(self) -> str:
        return f"{self.words}; its last file was published {humanize.duration(self.idle)} ago"


def run_at_work(tree: Tree, now: datetime) -> RunAtWork | None:
    """Return the run of another process that works on a tree, None if there is none. ``now``: an
    aware datetime."""
    runs = other_runs(tree)
    if not runs:
        return None
    raw = runs[0]
    where = f"process {raw['pid']}" + (f" on {raw['host']}" if "host" in raw else "")
    last = max(_began(raw), _last_published(tree))
    return RunAtWork(
        f"another run works on {tree.root} ({where})", max(0.0, now.timestamp() - last)
    )


def log_as_left(tree: Tree, summary: RunSummary, keep: int) -> RunSummary:
    """Log a run that found another one at work as what it is, no failure; return its summary."""
    left = replace(summary, exit_code=ExitCode.LIMIT, error="", limited=True)
    if left.run:
        write_summary(tree, left.run, left, keep)
    return left


def _began(raw: Mapping[str, Any]) -> float:
    try:
        return time_of(str(raw["run"]))
    except (KeyError, ValueError):
        return 0.0


def _last_published(tree: Tree) -> float:
    """Return when a state was written last: a run writes it after each batch of files."""
    times = [0.0]
    for name in partition_names(tree):
        with suppress(OSError):
            times.append(os.stat(tree.partition(name) / STATE_NAME).st_mtime)
    return max(times)
