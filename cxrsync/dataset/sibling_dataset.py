"""The sibling of a run's target: another dataset of the same version, with tables or reports that
the run needs."""

from __future__ import annotations

from dataclasses import replace

from cxrsync.catalog.load import dataset_info
from cxrsync.config.selection import Selection
from cxrsync.dataset.nested_trees import SIBLINGS_FOLDER
from cxrsync.dataset.run_context import RunContext
from cxrsync.dataset.shared_tree import recorded_access
from cxrsync.dataset.target import Target
from cxrsync.dataset.tree_identity import claim_tree
from cxrsync.dataset.tree_location import Location
from cxrsync.events import Event, FileDone, Notice, Planned, Received, Started, Unaccounted
from cxrsync.preflight.checks import refuse_synced_drive
from cxrsync.preflight.destination import inspect
from cxrsync.progress_events import Expected, Sized, Unpacking
from cxrsync.storage.tree import Tree


def sibling_target(target: Target, location: Location, slug: str) -> Target:
    """Return the target of the same version of the dataset ``slug``, for a run of ``target``.

    ``location``: the destination of the job. The sibling's tree is where a pull of that dataset
    into the same destination would create it. If the destination is itself the root of a version,
    there is no such place: the tree is then created inside ``.cxrsync``.
    """
    if location.holds_datasets_next_to(target.tree.root):
        root = location.find(slug, target.version).root
    else:
        root = target.tree.own / SIBLINGS_FOLDER / slug / target.version
    return Target(Tree(root), dataset_info(slug), target.version)


def sibling_run(run: RunContext, sibling: Target, selection: Selection) -> RunContext:
    """Return the context of the run's work on a sibling; create the sibling's tree.

    The paths in its events begin with the sibling's dataset and version.

    Raises: UsageError if the tree belongs to another dataset, or lies on a drive that syncs online.
    """
    prefix = f"{sibling.dataset.slug}/{sibling.version}/"

    def emit(event: Event) -> None:
        if not isinstance(event, Started):  # the run itself has emitted it
            run.emit(_with_prefix(event, prefix))

    job = replace(
        run.job, dataset=sibling.dataset.slug, selection=selection, also=(), with_reports=False
    )
    if not run.job.allow_synced:  # checked again: the sibling's tree may be a link to another disk
        refuse_synced_drive(inspect(sibling.tree.root))
    # Its own agreement decides who may read it, and so its own permissions, not those of this job.
    sibling.tree.access, note = recorded_access(sibling.tree)
    if note:
        run.emit(Notice(note))
    claim_tree(sibling.tree, sibling.dataset.slug, sibling.version)
    disk = run.disk.for_folder(sibling.tree.root)
    return replace(run, job=job, emit=emit, target=sibling, disk=disk)


def _with_prefix(event: Event, prefix: str) -> Event:
    """Return the event with ``prefix`` in front of each path in it."""
    if isinstance(event, FileDone):
        return FileDone(replace(event.outcome, path=prefix + event.outcome.path))
    if isinstance(event, Planned):
        name = prefix.removesuffix("/")
        refused = tuple(replace(each, reason=f"{name}: {each.reason}") for each in event.refused)
        return replace(event, prefix=prefix + event.prefix, refused=refused)
    if isinstance(event, Received | Sized):
        return replace(event, path=prefix + event.path)
    if isinstance(event, Expected | Unpacking):
        return replace(event, prefix=prefix + event.prefix)
    if isinstance(event, Unaccounted):
        return Unaccounted(tuple(prefix + path for path in event.paths))
    return event
