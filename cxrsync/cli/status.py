"""``cxrsync status``: count verified and missing files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from cxrsync.cli.environment import Command, option
from cxrsync.cli.every_tree import EveryTree, job_or_trees
from cxrsync.cli.html_report import report_file, write_report
from cxrsync.cli.main import Verbosity
from cxrsync.cli.options import places_argument, selection_options
from cxrsync.cli.status_text import problem_lines, status_lines
from cxrsync.dataset.found_trees import FoundTree
from cxrsync.dataset.version import find_target
from cxrsync.errors import CxrsyncError, ExitCode, UsageError
from cxrsync.operations.proof_ages import ProofAges
from cxrsync.operations.tree_status import tree_status
from cxrsync.progress_events import Activity, Phase
from cxrsync.sanitize import printable, reason_of, without_secrets
from cxrsync.ui.reporters import Reporters


@click.command(cls=Command)
@places_argument
@selection_options
@option("base_url")
@option("all", "Count the whole manifest.")
@option("html")
@option("json", "One JSON object for each tree, a line each.")
@click.pass_obj
def status(
    verbosity: Verbosity, /, everything: bool, html: Path | None, as_json: bool, **options: Any
) -> int:
    """Count verified and missing files, by shard. Hashes nothing; needs no lock or write access.

    PLACE: as for pull. Without a dataset, every tree in DEST is told of; without a selection,
    everything that a tree was pulled with is counted. While a pull is running, the counts may be
    half a minute old; the output says so, and what the pull does.
    """
    file = report_file(html, "--html")
    with Reporters(verbosity.level):  # a slow disk is not silent
        chosen = job_or_trees(options)
    if isinstance(chosen, EveryTree):
        if file is not None:
            raise _one_report(chosen)
        return _of_every_tree(chosen, verbosity, everything=everything, as_json=as_json)
    with Reporters(verbosity.level, json_to=None, progress="tree") as reporters:
        target = find_target(chosen, reporters.tell)
        found = tree_status(
            target,
            chosen,
            reporters.tell,
            everything=everything,
            with_report=file is not None,
        )
        if file is not None and found.report is not None:
            reporters.tell(Phase(Activity.REPORTING))
            write_report(file, found.report)
    if as_json:
        verbosity.output.write(json.dumps(found.as_json()) + "\n")
        return ExitCode.COMPLETE
    lines = [*status_lines(found, hint=verbosity.level >= 0, width=verbosity.output.width)]
    if file is not None:
        lines.append(f"the report is in {file}")
    _say(verbosity, lines)
    return ExitCode.COMPLETE


def _of_every_tree(
    every: EveryTree, verbosity: Verbosity, *, everything: bool, as_json: bool
) -> int:
    """Tell of one tree after the other. Return the worst of their exit codes."""
    is_first = True

    def write(fields: dict[str, object], lines: Iterable[str]) -> None:
        nonlocal is_first
        if as_json:
            verbosity.output.write(json.dumps(fields) + "\n")
        else:
            _say(verbosity, [*([] if is_first else [""]), *lines])
        is_first = False

    def tell(tree: FoundTree) -> int:
        # Closed before anything is written: both may go to one terminal.
        with Reporters(verbosity.level, json_to=None, progress="tree") as reporters:
            target = tree.target()  # raises its problem, if it has one
            job = every.job_of(tree)
            found = tree_status(target, job, reporters.tell, everything=everything)
        hint, width = verbosity.level >= 0, verbosity.output.width
        write(found.as_json(), status_lines(found, hint=hint, width=width))
        return ExitCode.COMPLETE

    def tell_problem(tree: FoundTree, problem: CxrsyncError) -> None:
        write(_problem(tree, problem), problem_lines(tree, problem))

    return every.each(tell, tell_problem)


def _say(verbosity: Verbosity, lines: Iterable[str]) -> None:
    verbosity.output.write_lines(map(printable, lines))


def _problem(tree: FoundTree, problem: CxrsyncError) -> dict[str, object]:
    """The fields of a tree that cannot be used: all that others have, and its error."""
    dataset, version = tree.identity or (None, None)
    return {
        "dataset": dataset,
        "version": version or None,
        "root": str(tree.root),
        "selection": "",
        "partitions": {},
        "proofs": ProofAges().as_json(),
        "running": None,
        "runs": [],
        "error": without_secrets(reason_of(problem)),
        "exit_code": int(problem.exit_code),
    }


def _one_report(every: EveryTree) -> UsageError:
    trees = ", ".join(f"{each.name} in {each.root}" for each in every.trees[:5])
    return UsageError(
        f"--html tells of one tree, and there are {len(every.trees)}: {trees}",
        next_step="Name one: cxrsync status NAME/VERSION --html FILE, or --dest with its folder.",
    )
