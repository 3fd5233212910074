"""Repair of a tree after a verification: the job that fetches what is wrong, and its exit code."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from cxrsync.config.job import Job
from cxrsync.errors import ExitCode, UsageError, worst_of
from cxrsync.events import RunSummary
from cxrsync.operations.exit_status import Ending, exit_status
from cxrsync.operations.expected_files import Expectation
from cxrsync.storage.tree import Tree


def refuse_repair(expected: Expectation) -> None:
    """Raise UsageError if nothing says which files the tree should hold."""
    if expected.only_present:
        raise UsageError(
            "this tree has no record of the selection that it was pulled with",
            next_step="Name a selection, such as verify --repair --shard p10, or add --all.",
        )


def repair_job(job: Job, expected: Expectation) -> Job:
    """Return the job that fetches what a tree lacks: by the selections that were verified."""
    first, *others = expected.selections
    return replace(
        job,
        version=expected.target.version,
        dest=expected.target.tree.root,
        selection=first,
        also=tuple(others),
        keep_replaced=True,
    )


def repair_exit_code(
    done: RunSummary, bad: Collection[str], tree: Tree, *, limited: bool = False
) -> ExitCode:
    """Return the exit code of a repair. ``bad``: the files that were wrong before.

    A bad file that could not be replaced was moved to the trash, or still has its final name.
    """
    lost = {problem.path for problem in done.problems}.intersection(bad)
    wrong = [path for path in lost if tree.find(path) is not None]
    return worst_of((done.exit_code, exit_status(Ending(mismatched=len(wrong), limited=limited))))
