"""``cxrsync verify``: hash the local files again, and repair them on request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import click

from cxrsync.cli import scrub as scrubbing
from cxrsync.cli.environment import Command, option
from cxrsync.cli.every_tree import EveryTree, job_or_trees
from cxrsync.cli.main import Verbosity, say_error
from cxrsync.cli.options import (
    output_options,
    places_argument,
    selection_options,
    source_options,
)
from cxrsync.cli.output_options import OutputOptions, reporting
from cxrsync.cli.pull import pull_job, refuse_with_on
from cxrsync.cli.status_text import run_in_words
from cxrsync.cli.verify_text import verification_lines
from cxrsync.config.job import Job, unattended
from cxrsync.dataset.found_trees import FoundTree
from cxrsync.dataset.target import Target
from cxrsync.dataset.version import find_target
from cxrsync.errors import CxrsyncError, ExitCode, UsageError
from cxrsync.events import EventSink, LeftOut, Notice, Started
from cxrsync.operations.expected_files import Expectation, expectation
from cxrsync.operations.repair import refuse_repair, repair_exit_code, repair_job
from cxrsync.operations.run_log import other_runs
from cxrsync.operations.verify import Verification
from cxrsync.operations.verify import verify as verify_tree
from cxrsync.sanitize import reason_of, without_secrets
from cxrsync.ui.console import to_stderr
from cxrsync.ui.reporters import Reporters


@click.command(cls=Command)
@places_argument
@selection_options
@source_options
@option("all")
@option("repair")
@option("scrub")
@option("acknowledge")
@option("only_partition")
@option("on")
@output_options
@click.pass_obj
def verify(
    verbosity: Verbosity,
    /,
    everything: bool,
    repair: bool,
    scrub: float | None,
    on: str | None,
    **options: Any,
) -> int:
    """Hash the local files again; report what is missing, bad, unreadable or extra.

    PLACE: as for pull. Without a dataset, every tree in DEST is verified; without a selection,
    everything that a tree was pulled with. Needs no network, no lock and no write access (--repair
    needs all three, --scrub the lock and write access). Exit 0 if all files are good, 6 if a file
    is bad, 5 if one is missing or cannot be read, 7 if the disk fails. With --repair: as for pull,
    and 6 if a bad file could not be replaced.
    """
    how = _How(verbosity, OutputOptions.taken_from(options), everything, repair, scrub)
    with Reporters(verbosity.level, progress=how.output.progress):  # a slow disk is not silent
        chosen = job_or_trees(options)
    if on is not None:
        return _verify_on(on, chosen, how)
    if isinstance(chosen, EveryTree):
        return _verify_every_tree(chosen, how)
    return _finish(how, _look(how, partial(find_target, chosen), chosen))


@dataclass(frozen=True, slots=True)
class _How:
    """What the options say that hold for each tree."""

    verbosity: Verbosity
    output: OutputOptions
    everything: bool
    repair: bool
    scrub: float | None

    def is_of_tree(self, job: Job) -> bool:
        """Whether the tree itself tells what is expected, and not the options."""
        return not self.everything and job.selection.whole


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was found in one tree, and who tells it."""

    job: Job
    expected: Expectation
    found: _Found
    reporters: Reporters
    is_one_of_several: bool


def _verify_on(on: str, chosen: Job | EveryTree, how: _How) -> int:
    """Verify one tree on a cluster. Return the exit code."""
    refuse_with_on(repair=how.repair, scrub=how.scrub)
    if isinstance(chosen, EveryTree):
        names = ", ".join(tree.name for tree in chosen.trees[:5])
        raise UsageError(
            f"--on verifies one tree, and there are {len(chosen.trees)}: {names}",
            next_step="Name one: cxrsync verify NAME/VERSION, or --dest with its folder.",
        )
    from cxrsync.cli.on_dask import verify_on_dask  # here: few need it

    return verify_on_dask(chosen, on, how.verbosity, how.output, everything=how.everything)


def _verify_every_tree(every: EveryTree, how: _How) -> int:
    """Verify one tree after the other. Return the worst of their exit codes."""

    def verify_one(tree: FoundTree) -> int:
        try:
            target = tree.target()  # raises its problem, if it has one
            job = every.job_of(tree)
            looked = _look(how, lambda _emit: target, job, is_one_of_several=True)
        except CxrsyncError as problem:
            _tell_problem(how, tree, problem)
            return problem.exit_code
        return _finish(how, looked)

    # What is raised after the summary is an error of what follows it, such as a repair.
    return every.each(verify_one, lambda _tree, problem: say_error(problem))


def _tell_problem(how: _How, tree: FoundTree, problem: CxrsyncError) -> None:
    """Say why a tree could not be verified: to a program all fields of a summary, and the error."""
    to_stderr(f"{tree.name} in {tree.root} is not verified:")
    say_error(problem)
    if how.output.as_json:
        dataset, version = tree.identity or (None, None)
        fields = {
            "dataset": dataset,
            "version": version or None,
            "root": str(tree.root),
            **Verification("").as_json(),
            "exit_code": int(problem.exit_code),
            "error": without_secrets(reason_of(problem)),
        }
        how.verbosity.output.write(json.dumps({"event": "summary", **fields}) + "\n")


def _look(
    how: _How,
    find: Callable[[EventSink], Target],
    job: Job,
    *,
    is_one_of_several: bool = False,
) -> _Looked:
    """Hash the files of one tree. Raises: UsageError, NotFetchedYet, ManifestDamaged, DiskError."""
    with ExitStack() as stack:
        reporters = stack.enter_context(reporting(how.verbosity, how.output))
        target = find(reporters.tell)
        expected = stack.enter_context(expectation(target, job, everything=how.everything))
        if how.repair:
            refuse_repair(expected)
        if is_one_of_several:
            root, selection = str(target.tree.root), expected.description
            reporters.tell(Started(target.dataset.slug, target.version, root, selection, 0))
        for text in expected.selected.left_out:
            reporters.tell(LeftOut(text))
        for run in other_runs(target.tree) if how.scrub is None else ():
            reporters.tell(Notice(f"{run_in_words(run)}; files that are on their way are missing"))
        found = _find(how, expected, job, reporters)
        return _Looked(job, expected, found, reporters, is_one_of_several)


def _finish(how: _How, looked: _Looked) -> int:
    """Tell what was found; repair it, if that is asked for. Return the exit code."""
    found, target = looked.found, looked.expected.target
    is_whole = found.error is None
    done = {ExitCode.COMPLETE, ExitCode.LIMIT}
    repairing = how.repair and is_whole and found.exit_code not in done
    is_well = found.exit_code == ExitCode.COMPLETE and found.error is None
    # Not again for each of several trees where nothing is to be done.
    hint = not repairing and not (is_well and looked.is_one_of_several)
    lines = found.lines(target, hint=hint)
    if not repairing:
        place = {
            "dataset": target.dataset.slug,
            "version": target.version,
            "root": str(target.tree.root),
        }
        looked.reporters.say_summary({**place, **found.fields}, lines)
        if found.error is not None:
            raise found.error
        return found.exit_code
    for line in lines:
        looked.reporters.tell(Notice(line))
    return _repair(looked.job, looked.expected, found, how.verbosity, how.output)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a verification (``of_everything``) or a scrub has found. ``error``: what ended it early;
    ``stopped``: the exit code that a limit or a signal asked for."""

    bad: list[str]
    unreadable: list[str]
    exit_code: ExitCode
    fields: dict[str, object]
    lines: Callable[..., list[str]]
    of_everything: bool = True
    error: BaseException | None = None
    stopped: ExitCode | None = None


def _find(how: _How, expected: Expectation, job: Job, reporters: Reporters) -> _Found:
    if how.scrub is None:
        verified = asyncio.run(verify_tree(expected, reporters.tell, job.acknowledged))
        return _Found(
            verified.bad,
            verified.unreadable,
            verified.exit_code,
            verified.as_json(),
            partial(verification_lines, verified, is_of_tree=how.is_of_tree(job)),
        )
    scrubbed = scrubbing.scrub(expected, job, how.scrub, reporters)
    return _Found(
        scrubbed.found.bad,
        scrubbed.found.unreadable,
        scrubbed.exit_code,
        scrubbed.as_json(),
        partial(scrubbing.in_words, scrubbed),
        of_everything=False,
        error=scrubbed.error,
        stopped=scrubbed.stopped,
    )


def _repair(
    job: Job,
    expected: Expectation,
    found: _Found,
    verbosity: Verbosity,
    output: OutputOptions,
) -> int:
    """Fetch the files that are bad, unreadable or missing. Return the exit code."""
    job = repair_job(job, expected)
    if not found.of_everything:
        job = unattended(job)  # a scrub runs each night; who verifies all asks for every file
    # The records of bad and unreadable files do not count.
    done = pull_job(job, verbosity, output, distrust=found.bad + found.unreadable)
    limited = found.stopped is ExitCode.LIMIT
    return repair_exit_code(done, found.bad, expected.target.tree, limited=limited)
