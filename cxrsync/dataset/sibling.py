"""Another dataset's tree beside this one: the same version's tables, or its reports."""

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
from cxrsync.preflight.checks import refuse_synced
from cxrsync.preflight.destination import inspect
from cxrsync.storage.tree import Tree


def beside(tree: Tree, place: Location, slug: str, version: str) -> Target:
    """The tree of another dataset's same version, for a job with ``tree`` in ``place``.

    It lies where a pull of that dataset into the same destination would put it; where the
    destination is a version's own folder, so that there is no such place, among our own files.
    """
    if place.holds_beside(tree.root):
        root = place.find(slug, version).root
    else:
        root = tree.own / BESIDE / slug / version
    return Target(Tree(root), dataset_info(slug), version)


def other_run(run: RunContext, home: Target, selection: Selection) -> RunContext:
    """A part of this run that works on another dataset's tree."""
    prefix = f"{home.dataset.slug}/{home.version}/"

    def emit(event: Event) -> None:
        if not isinstance(event, Started):  # told once
            run.emit(_with_prefix(event, prefix))

    job = replace(
        run.job, dataset=home.dataset.slug, selection=selection, also=(), with_reports=False
    )
    if not run.job.allow_synced:  # it may be a link to another disk
        refuse_synced(inspect(home.tree.root))
    claim_tree(home.tree, home.dataset.slug, home.version)
    return replace(run, job=job, emit=emit, tree=home.tree, dataset=home.dataset)


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
