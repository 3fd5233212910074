"""The trees in the folder that ``--from`` names, and of which dataset and version each is.

A tree has no other proof of its version than our note in it, or its folder's names: what is copied
from it would be called complete and verified under any version that somebody asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cxrsync.config.job import Job
from cxrsync.dataset.placement import Layout, Location
from cxrsync.dataset.tree_identity import Identity, check_identity, identity_of
from cxrsync.dataset.tree_parts import refuse_parts
from cxrsync.dataset.version import local_source
from cxrsync.errors import UsageError
from cxrsync.events import EventSink, TreeNotice


@dataclass(frozen=True, slots=True)
class SourceTrees:
    """Finds the trees in ``place``. ``whose``: of which dataset and version the folder itself is,
    where it is a version's root."""

    place: Location
    emit: EventSink
    whose: Identity | None = None

    def root_of(self, dataset: str, version: str) -> Path | None:
        """The root of a version's tree; None where there is none. Raises UsageError where it is
        another's, or where two could be meant."""
        own = self.place.own_root()
        if own is not None:
            return own.root if self.whose == (dataset, version) else None
        found = self.place.existing(dataset, version)
        if found is None:
            return None
        if found.layout is not Layout.PLAIN:
            self.emit(TreeNotice(f"copying from the tree in {found.root}"))
        return found.root

    def versions(self, dataset: str) -> list[str]:
        """The versions of ``dataset`` that are there, in the order of their names."""
        return self.place.versions(dataset)


def source_trees(job: Job, folder: Path, emit: EventSink) -> SourceTrees:
    """The trees in the folder that a job copies from.

    Raises UsageError where it does not hold the version that the job names, or, where the job
    names none, any of its dataset; and where nothing tells what it holds, unless the job does.
    """
    place = local_source(job, folder)
    own = place.own_root()
    if own is not None:
        return SourceTrees(place, emit, _whose(own.root, job, emit))
    there = place.versions(job.dataset)
    if job.version is None:
        is_there = bool(there)
    else:
        is_there = place.existing(job.dataset, job.version) is not None
    if not is_there:
        refuse_parts(place.top, job.dataset, "--from")
        held = [f"{job.dataset} {version}" for version in there] or map(str, place.claimed())
        raise UsageError(
            f"--from {folder} holds no {job.dataset} {job.version or ''}".rstrip(),
            next_step=f"It holds {', '.join(held) or 'no tree that is known'}. A tree lies in "
            f"DIR/{job.dataset}/VERSION, or DIR itself is one.",
        )
    return SourceTrees(place, emit)


def _whose(root: Path, job: Job, emit: EventSink) -> Identity:
    """Of which dataset and version a root is. Raises UsageError where that is not what is asked."""
    told = identity_of(root, job.dataset)
    version = job.version or (None if told is None else told.version)
    if version is None:
        raise UsageError(
            f"--from {root}: nothing tells which version of {job.dataset} it holds",
            next_step="Say --dataset-version, if you know it.",
        )
    asked = Identity(job.dataset, version)
    check_identity(root, asked, "--from")
    if told is None:
        emit(
            TreeNotice(f"nothing in {root} tells its version: it is taken for {asked}, as you say")
        )
    return asked
