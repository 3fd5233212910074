"""``cxrsync ls``: print the selected files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote

import click

from cxrsync.cli.environment import Command, option
from cxrsync.cli.main import Verbosity
from cxrsync.cli.options import job_of, place_options, places_argument, selection_options
from cxrsync.cli.signals import obeying_signals
from cxrsync.config.job import Job
from cxrsync.dataset.source_factory import open_source, opened
from cxrsync.dataset.target import Target
from cxrsync.errors import ExitCode
from cxrsync.model import Entry, partition_of
from cxrsync.operations.ls import list_files
from cxrsync.progress_events import Activity, Phase
from cxrsync.sources.prompt import TerminalPrompt
from cxrsync.ui.reporters import Reporters

Form = Callable[[Entry], str]


@click.command(cls=Command)
@places_argument
@selection_options
@place_options
@option("format")
@click.pass_obj
def ls(verbosity: Verbosity, /, form: str, **options: Any) -> int:
    """Print the selected files without fetching them.

    The local manifest and tables are enough; no network is needed. If one of them is missing, it is
    fetched into DEST, where a later pull finds it. PLACE: as for pull.
    """
    return asyncio.run(_run(job_of(options), form, verbosity))


async def _run(job: Job, form: str, verbosity: Verbosity) -> int:
    async with AsyncExitStack() as stack:
        reporters = stack.enter_context(Reporters(verbosity.level))
        prompt = TerminalPrompt()
        source = await stack.enter_async_context(opened(open_source(job, reporters.tell, prompt)))
        with obeying_signals(prompt, reporters) as cancel:
            found = await stack.enter_async_context(list_files(job, source, reporters.tell, cancel))
        # There is no state to save any more, so that a signal may end the process at once.
        reporters.tell(Phase(Activity.LISTING, found.target.name))
        lines = map(_form(form, job, found.target), found.entries())
        verbosity.output.write_lines(lines, beside=reporters.beside)
    return ExitCode.COMPLETE


def _form(form: str, job: Job, target: Target) -> Form:
    if form == "paths":
        return lambda entry: entry.path
    if form == "urls":
        base = f"{job.origin.base_url}/{target.dataset.slug}/{target.version}/"
        return lambda entry: base + quote(entry.path)
    if form == "sha256sum":
        return Entry.as_line
    kind_of = target.dataset.kind_of

    def as_json(entry: Entry) -> str:
        return json.dumps(
            {
                "path": entry.path,
                "sha256": entry.sha256,
                "kind": kind_of(entry.path).value,
                "partition": partition_of(entry.path),
            }
        )

    return as_json
