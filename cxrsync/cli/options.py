"""Groups of options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from cxrsync.cli.completion_values import complete_place
from cxrsync.cli.environment import option
from cxrsync.config.job import DEFAULT_BASE_URL, DEFAULT_DEST, Job
from cxrsync.config.option import Group
from cxrsync.config.option_table import options_of
from cxrsync.config.option_value import check_options
from cxrsync.config.parse_job import make_job
from cxrsync.config.parse_place import version_as_option
from cxrsync.dataset.nested_trees import refuse_folder_in_tree
from cxrsync.dataset.tree_identity import Identity
from cxrsync.dataset.tree_location import Location, wget_folders

F = TypeVar("F", bound=Callable[..., Any])


def _all(function: F, names: Iterable[str]) -> F:
    for name in reversed(list(names)):
        function = option(name)(function)
    return function


def _names(*groups: Group) -> list[str]:
    return [each.name for each in options_of(*groups)]


def places_argument(function: F) -> F:
    """Add the argument that names a dataset, or files in it: for pull, ls, verify and status."""
    return click.argument("places", nargs=-1, metavar="[PLACE]...", shell_complete=complete_place)(
        function
    )


def selection_options(function: F) -> F:
    """Add the options that select files: for pull, ls, diff, verify and status."""
    return _all(function, [*_names(Group.DATASET, Group.SELECTION), "dest"])


def place_options(function: F) -> F:
    """Add the options of the source and its destination: for every command that may fetch."""
    return _all(function, [*_names(Group.SOURCE), "allow_synced"])


def source_options(function: F) -> F:
    """Add the options of source and transfer: for pull and verify --repair."""
    return _all(place_options(function), _names(Group.TRANSFER))


def pull_options(function: F) -> F:
    """Add the options of pull alone."""
    return _all(function, _names(Group.PULL))


def output_options(function: F) -> F:
    """Add the options of the output: for pull and verify."""
    return _all(function, _names(Group.OUTPUT))


def job_of(options: dict[str, Any]) -> Job:
    """Return the job of a command's options, with the places that its arguments name."""
    return make_job(options, options.pop("places", ()))


def job_of_tree(options: dict[str, Any]) -> Job:
    """Return the job of these options; the destination fills in a missing dataset and version.

    The dataset is filled in if all trees in the destination belong to one; the version, if there
    is only one tree.
    """
    places: Sequence[str] = options.pop("places", ())
    options, places = version_as_option(check_options(options), places)
    is_named = any(options.get(name) for name in ("jpg", "dicom", "dataset"))
    if not is_named and all(word.startswith("files/") for word in places):
        version = options.get("dataset_version")
        found = trees_in_dest(options)
        found = [each for each in found if each.version == version] or found
        if len({each.dataset for each in found}) == 1:
            options["dataset"] = found[0].dataset
            if len(found) == 1:
                options.setdefault("dataset_version", found[0].version)
    return make_job(options, places)


def trees_in_dest(options: dict[str, Any]) -> list[Identity]:
    """Return dataset and version of each tree in the destination that these options name."""
    dest = options.get("dest", Path(DEFAULT_DEST))
    place = Location(dest, wget_folders(options.get("base_url", DEFAULT_BASE_URL)))
    found = place.claimed()
    if not found:
        refuse_folder_in_tree(place.top)
    return found
