"""``cxrsync verify``: hash the local files again, and repair them on request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import click

from cxrsync import humanize
from cxrsync.cli import scrub as scrubbing
from cxrsync.cli.environment import Command, option
from cxrsync.cli.main import Verbosity
from cxrsync.cli.options import (
    job_of_tree,
    output_options,
    places_argument,
    selection_options,
    source_options,
)
from cxrsync.cli.output_options import OutputOptions, reporting
from cxrsync.cli.pull import pull_job
from cxrsync.config.job import Job, unattended
from cxrsync.dataset.version import find_target
from cxrsync.errors import ExitCode, UsageError, worst_of
from cxrsync.events import Event, LeftOut, Notice
from cxrsync.operations.exit_status import Ending, exit_status
from cxrsync.operations.expected_files import Expectation, expectation
from cxrsync.operations.verify import Verification
from cxrsync.operations.verify import verify as verify_tree
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
@output_options
@click.pass_obj
def verify(
    verbosity: Verbosity,
    /,
    everything: bool,
    repair: bool,
    scrub: float | None,
    **options: Any,
) -> int:
    """Hash the local files again; report what is missing, bad, unreadable or extra.

    PLACE: as for pull. Without a selection, everything that this tree was pulled with is verified.
    Needs no network, no
    lock and no write access (--repair needs all three, --scrub the lock and write access). Exit 0
    if all files are good, 6 if a file is bad, 5 if one is missing or cannot be read, 7 if the disk
    fails. With --repair: as for pull, and 6 if a bad file could not be replaced.
    """
    output = OutputOptions.taken_from(options)
    job = job_of_tree(options)
    notices: list[Event] = []
    target = find_target(job, notices.append)
    with (
        reporting(verbosity, output) as reporters,
        expectation(target, job, everything=everything) as expected,
    ):
        if repair and expected.only_present:
            raise UsageError(
                "this tree has no record of the selection that it was pulled with",
                next_step="Name a selection, such as verify --repair --shard p10, or add --all.",
            )
        for notice in [*notices, *map(LeftOut, expected.selected.left_out)]:
            reporters.tell(notice)
        found = _find(expected, job, scrub, reporters)
    is_whole = found.error is None
    repairing = repair and is_whole and found.exit_code not in {ExitCode.COMPLETE, ExitCode.LIMIT}
    lines = found.lines(target.name, hint=not repairing)
    if not repairing:
        reporters.say_summary(found.fields, lines)
        if found.error is not None:
            raise found.error
        return found.exit_code
    for line in lines:
        reporters.tell(Notice(line))
    return _repair(job, expected, found, verbosity, output)


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


def _find(expected: Expectation, job: Job, period: float | None, reporters: Reporters) -> _Found:
    if period is None:
        verified = asyncio.run(verify_tree(expected, reporters.tell, job.acknowledged))
        return _Found(
            verified.bad,
            verified.unreadable,
            verified.exit_code,
            verified.as_json(),
            partial(_in_words, verified),
        )
    scrubbed = scrubbing.scrub(expected, job, period, reporters)
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
    target = expected.target
    # The selections of the tree; the records of bad and unreadable files do not count.
    first, *others = expected.selections
    job = replace(
        job,
        version=target.version,
        dest=target.tree.root,
        selection=first,
        also=tuple(others),
    )
    if not found.of_everything:
        job = unattended(job)  # a scrub runs each night; who verifies all asks for every file
    done = pull_job(job, verbosity, output, distrust=found.bad + found.unreadable)
    # A bad file that could not be replaced was moved to the trash, or still has its final name.
    lost = {problem.path for problem in done.problems}.intersection(found.bad)
    wrong = [path for path in lost if target.tree.find(path) is not None]
    limited = found.stopped is ExitCode.LIMIT
    return worst_of((done.exit_code, exit_status(Ending(mismatched=len(wrong), limited=limited))))


def _in_words(found: Verification, name: str, *, hint: bool) -> list[str]:
    text = (
        f"{name} ({found.selection}): {humanize.files(found.good)} good "
        f"({humanize.size(found.good_bytes)}), {len(found.bad):,} bad, "
        + (f"{len(found.unreadable):,} unreadable, " if found.unreadable else "")
        + f"{found.missing:,} missing, {found.extra:,} extra"
    )
    lines = [text]
    if found.acknowledged:
        lines.append(f"{humanize.files(found.acknowledged)} missing, as acknowledged")
    if found.index_pages:
        pages = humanize.files(found.index_pages)
        lines.append(f"{pages} named index.html, left by wget: harmless, not needed")
    if found.refused_lines:
        lines.append(f"{found.refused_lines:,} lines of the manifest are rejected")
    if hint and found.unreadable:
        lines.append(
            "--repair replaces files that the disk has lost (Input/output error); the owner of the "
            "other unreadable files must make them readable"
        )
    if hint and (found.bad or found.missing):
        lines.append("To fetch bad and missing files, run the same command with --repair")
    return lines
