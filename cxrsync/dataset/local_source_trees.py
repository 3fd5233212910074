"""Find the trees in the folder that ``--from`` names, with dataset and version of each.

Only the claim in a tree, or the names of its folders, show its version. Without this check, files
that are copied from it would be reported as verified under any version that the user names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cxrsync.config.job import Job
from cxrsync.dataset.nested_trees import refuse_part_of_tree
from cxrsync.dataset.tree_identity import Identity, check_identity, identity_of
from cxrsync.dataset.tree_location import Layout, Location
from cxrsync.dataset.version import local_source
from cxrsync.errors import UsageError
from cxrsync.events import EventSink, TreeNotice


@dataclass(frozen=True, slots=True)
class SourceTrees:
    """The trees in ``location``. ``identity``: dataset and version of the folder itself, if it is
    the root of a version."""

    location: Location
    emit: EventSink
    identity: Identity | None = None

    def root_of(self, dataset: str, version: str) -> Path | None:
        """Return the root of a version's tree; None if there is none.

        Raises: UsageError if the tree is of another dataset or version, or if there are two.
        """
        own = self.location.version_root()
        if own is not None:
            return own.root if self.identity == (dataset, version) else None
        found = self.location.find_existing(dataset, version)
        if found is None:
            return None
        if found.layout is not Layout.PLAIN:
            self.emit(TreeNotice(f"copying from the tree in {found.root}"))
        return found.root

    def versions(self, dataset: str) -> list[str]:
        """Return the versions of ``dataset`` in the folder, sorted by name."""
        return self.location.versions(dataset)


def source_trees(job: Job, folder: Path, emit: EventSink) -> SourceTrees:
    """Return the trees in the folder that a job copies from.

    Raises: UsageError if the folder lacks the version that the job names (or any version of the
    dataset, if the job names none), or if neither the folder nor the job tells the version.
    """
    location = local_source(job, folder)
    own = location.version_root()
    if own is not None:
        return SourceTrees(location, emit, _identity_of_root(own.root, job, emit))
    versions = location.versions(job.dataset)
    if job.named_version is None:
        exists = bool(versions)
    else:
        exists = location.find_existing(job.dataset, job.named_version) is not None
    if not exists:
        location.refuse_forbidden(job.dataset, job.version)
        refuse_part_of_tree(location.top, job.dataset, "--from")
        trees = [f"{job.dataset} {each}" for each in versions] or map(str, location.claimed())
        raise UsageError(
            f"--from {folder} holds no {job.dataset} {job.named_version or ''}".rstrip(),
            next_step=f"It holds {', '.join(trees) or 'no known tree'}. A tree lies in "
            f"DIR/{job.dataset}/VERSION, or DIR itself is one.",
        )
    return SourceTrees(location, emit)


def _identity_of_root(root: Path, job: Job, emit: EventSink) -> Identity:
    """Return dataset and version of a root. Raises: UsageError if they are not those of the job."""
    identity = identity_of(root, job.dataset)
    version = job.named_version or (None if identity is None else identity.version)
    if version is None:
        raise UsageError(
            f"--from {root} does not say which version of {job.dataset} it holds",
            next_step="Say --dataset-version, if you know it.",
        )
    asked = Identity(job.dataset, version)
    check_identity(root, asked, "--from")
    if identity is None:
        emit(
            TreeNotice(f"{root} does not say which version it holds: {asked} is assumed, as named")
        )
    return asked
