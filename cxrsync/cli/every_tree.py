"""The trees of ``status`` and ``verify``: that of the named dataset, else every tree in DEST."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrsync.config.job import DEFAULT_BASE_URL, DEFAULT_DEST, Job
from cxrsync.config.option_value import check_options
from cxrsync.config.parse_job import make_job
from cxrsync.config.parse_place import version_as_option
from cxrsync.dataset.found_trees import FoundTree, trees_in
from cxrsync.errors import CxrsyncError, ExitCode, UsageError, worst_of

# What ends one tree with these ends all: the person's wish, and a password is tried once.
_ENDS_ALL = {ExitCode.INTERRUPTED, ExitCode.TERMINATED, ExitCode.CREDENTIALS}

# Options whose values may be lists in files.
_LISTS = ("subject", "study", "image", "include", "exclude")


@dataclass(frozen=True, slots=True)
class EveryTree:
    """Several trees, or one that cannot be used, and the options that hold for each of them."""

    trees: tuple[FoundTree, ...]
    _options: Mapping[str, Any]
    _places: Sequence[str]

    def job_of(self, tree: FoundTree) -> Job:
        """Return the job of these options for one tree. Raises UsageError if they do not fit its
        dataset."""
        assert tree.identity is not None
        dataset, version = tree.identity
        named = {"dataset": dataset, "dataset_version": version}
        return make_job({**self._options, **named}, self._places)

    def each(
        self, act: Callable[[FoundTree], int], tell: Callable[[FoundTree, CxrsyncError], None]
    ) -> ExitCode:
        """Call ``act`` with each tree, and ``tell`` with its error, if it raises one. Return the
        worst of the exit codes."""
        codes: list[int] = []
        for tree in self.trees:
            try:
                codes.append(act(tree))
            except CxrsyncError as problem:
                tell(tree, problem)
                codes.append(problem.exit_code)
            if codes[-1] in _ENDS_ALL:
                break
        return worst_of(codes)


def job_or_trees(options: dict[str, Any]) -> Job | EveryTree:
    """Return the job of a command's options if they name a dataset, or if DEST holds one tree only;
    else every tree in DEST, or of those the ones of the version that is named.

    Raises: NotFetchedYet if there is none, UsageError, DiskError.
    """
    places: Sequence[str] = options.pop("places", ())
    options, places = version_as_option(check_options(options), places)
    is_named = any(options.get(name) for name in ("jpg", "dicom", "dataset"))
    if is_named or not all(word.startswith("files/") for word in places):
        return make_job(options, places)
    dest = options.get("dest", Path(DEFAULT_DEST))
    base_url = options.get("base_url", DEFAULT_BASE_URL)
    trees = trees_in(dest, base_url, options.get("dataset_version"))
    every = EveryTree(tuple(trees), options, places)
    only = trees[0]
    if len(trees) > 1:
        _refuse_streams(options, len(trees))
        if (mistake := _mistake(every)) is not None:
            raise mistake
        return every
    if only.problem is not None:
        raise only.problem
    return every.job_of(only)


def _refuse_streams(options: Mapping[str, Any], count: int) -> None:
    """Raise UsageError if a list comes through a pipe: it would be read for the first tree, and
    be empty for the others."""
    for name in _LISTS:
        values = options.get(name) or ()
        if any(value == "@-" or value.startswith("@/dev/") for value in values):
            raise UsageError(
                f"--{name}: the list can be read only once, and there are {count} trees",
                next_step="Save it to a file, and name that with @FILE; or name one dataset, as "
                "NAME/VERSION.",
            )


def _mistake(every: EveryTree) -> UsageError | None:
    """Return the error that the options raise for every dataset alike, such as for a mistyped
    shard: it is said once, not for each tree."""
    found: UsageError | None = None
    for tree in every.trees:
        if tree.problem is None:
            try:
                every.job_of(tree)
            except UsageError as problem:
                if found is not None and str(found) != str(problem):
                    return None
                found = problem
            else:
                return None
    return found
