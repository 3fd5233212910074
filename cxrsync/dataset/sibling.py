"""Another dataset's tree beside a run's own: the same version's tables, or its reports."""

from __future__ import annotations

from dataclasses import replace

from cxrsync.catalog.load import dataset_info
from cxrsync.config.selection import Selection
from cxrsync.dataset.context import RunContext
from cxrsync.dataset.placement import Location
from cxrsync.dataset.target import Target
from cxrsync.dataset.tree_identity import claim_tree
from cxrsync.dataset.tree_parts import BESIDE
from cxrsync.events import Event, FileDone, Planned, Started, Unaccounted
from cxrsync.preflight.checks import refuse_synced_drive
from cxrsync.preflight.destination import inspect
from cxrsync.storage.tree import Tree


def sibling_of(target: Target, place: Location, slug: str) -> Target:
    """The same version of another dataset, for a job with ``target`` in ``place``.

    Its tree is where a pull of that dataset into the same destination would put it. Where the
    destination is a version's own folder there is no such place: then it is among our own files.
    """
    if place.holds_beside(target.tree.root):
        root = place.find(slug, target.version).root
    else:
        root = target.tree.own / BESIDE / slug / target.version
    return Target(Tree(root), dataset_info(slug), target.version)


def for_sibling(run: RunContext, sibling: Target, selection: Selection) -> RunContext:
    """The run's work on another dataset's tree. Its events bear that dataset's name.

    Makes the tree. Raises UsageError where it belongs to another dataset, or lies on a drive that
    syncs online.
    """
    prefix = f"{sibling.dataset.slug}/{sibling.version}/"

    def emit(event: Event) -> None:
        if not isinstance(event, Started):  # a run starts once
            run.emit(_with_prefix(event, prefix))

    job = replace(
        run.job, dataset=sibling.dataset.slug, selection=selection, also=(), with_reports=False
    )
    if not run.job.allow_synced:  # the tree may be a link to another disk
        refuse_synced_drive(inspect(sibling.tree.root))
    claim_tree(sibling.tree, sibling.dataset.slug, sibling.version)
    return replace(run, job=job, emit=emit, target=sibling)


def _with_prefix(event: Event, prefix: str) -> Event:
    """The event with dataset and version in front of each path that it names."""
    if isinstance(event, FileDone):
        return FileDone(replace(event.outcome, path=prefix + event.outcome.path))
    if isinstance(event, Planned):
        where = prefix.removesuffix("/")
        refused = tuple(replace(each, reason=f"{where}: {each.reason}") for each in event.refused)
        return replace(event, prefix=prefix + event.prefix, refused=refused)
    if isinstance(event, Unaccounted):
        return Unaccounted(tuple(prefix + path for path in event.paths))
    return event
