"""``cxrsync diff``: compare two versions of a dataset."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import click

from cxrsync import humanize
from cxrsync.cli.completion_values import complete_version
from cxrsync.cli.environment import Command, option
from cxrsync.cli.main import Verbosity
from cxrsync.cli.options import job_of_tree, place_options, selection_options
from cxrsync.cli.signals import obeying_signals
from cxrsync.config.job import Job
from cxrsync.dataset.source_factory import open_source, opened
from cxrsync.errors import ExitCode, UsageError
from cxrsync.manifest.diff import Change
from cxrsync.operations.diff import Comparison, DiffTotals, compare
from cxrsync.progress_events import Activity, Phase
from cxrsync.sources.prompt import TerminalPrompt
from cxrsync.ui.console import to_stderr
from cxrsync.ui.reporters import Reporters


@click.command(cls=Command)
@click.argument("old", metavar="V1", shell_complete=complete_version)
@click.argument("new", metavar="V2", shell_complete=complete_version)
@selection_options
@place_options
@option("json", "One JSON object a line.")
@click.pass_obj
def diff(verbosity: Verbosity, /, old: str, new: str, as_json: bool, **options: Any) -> int:
    """Compare versions V1 and V2: files added, removed and changed, and the bytes to fetch.

    The manifests of both versions are compared; a missing one is fetched into DEST. Paths go to
    stdout, one a line; totals go to stderr.
    """
    if options.pop("dataset_version", None) is not None:
        raise UsageError(
            "--dataset-version cannot be used here",
            next_step="Name both versions as arguments: cxrsync diff V1 V2.",
        )
    if old == new:
        raise UsageError(
            f"{old} and {new} are the same version",
            next_step="Name two versions; `cxrsync info DATASET` lists those there are.",
        )
    for version in (old, new):  # the job checks each version
        job = job_of_tree({**options, "dataset_version": version})
    return asyncio.run(_run(job, (old, new), verbosity, as_json=as_json))


async def _run(job: Job, versions: tuple[str, str], verbosity: Verbosity, *, as_json: bool) -> int:
    async with AsyncExitStack() as stack:
        reporters = stack.enter_context(Reporters(verbosity.level))
        prompt = TerminalPrompt()
        source = await stack.enter_async_context(opened(open_source(job, reporters.tell, prompt)))
        with obeying_signals(prompt, reporters) as cancel:
            comparison = compare(job, versions, source, reporters.tell, cancel)
            found = await stack.enter_async_context(comparison)
        # As in `ls`, there is no state to save any more. The reader may close the pipe early.
        reporters.tell(Phase(Activity.COMPARING, job.dataset))
        lines = _lines(found, as_json=as_json)
        if verbosity.output.write_lines(lines, beside=reporters.beside):
            totals = found.totals()
            reporters.close()
            if as_json:
                verbosity.output.write_lines([json.dumps(_fields(totals))])
            elif verbosity.level >= 0:
                to_stderr(_in_words(found, totals))
    return ExitCode.COMPLETE


def _lines(found: Comparison, *, as_json: bool) -> Iterator[str]:
    for each in found.differences():
        if as_json:
            yield json.dumps(
                {
                    "event": "difference",
                    "change": each.change.value,
                    "path": each.entry.path,
                    "sha256": each.entry.sha256,
                }
            )
        else:
            yield f"{each.change.value:<8} {each.entry.path}"


def _fields(totals: DiffTotals) -> dict[str, object]:
    return {
        "event": "summary",
        **{change.value: totals.changes[change] for change in Change},
        "files_moving": totals.to_download,
        "bytes_moving": totals.estimate.bytes,
        "files_of_unknown_size": totals.estimate.unknown,
        "basis": list(totals.estimate.basis),
    }


def _in_words(found: Comparison, totals: DiffTotals) -> str:
    changes = ", ".join(f"{totals.changes[change]:,} {change.value}" for change in Change)
    old, new = found.old.target, found.new.target
    text = f"{new.dataset.slug} {old.version} → {new.version}: {changes}"
    if not totals.to_download:
        return text + "; nothing to fetch"
    guess = totals.estimate
    text += f"; {humanize.files(totals.to_download)} to fetch"
    if guess.basis:
        text += f": about {humanize.size(guess.bytes)} (by {' and '.join(guess.basis)})"
    return text + (f", and {guess.unknown:,} of unknown size" if guess.unknown else "")
