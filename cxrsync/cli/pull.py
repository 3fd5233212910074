"""``cxrsync pull``: fetch the selected files that are missing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import click

from cxrsync.cli.dry_run import print_forecast
from cxrsync.cli.environment import Command, option
from cxrsync.cli.main import Verbosity
from cxrsync.cli.options import (
    output_options,
    pull_options,
    selection_options,
    source_options,
)
from cxrsync.cli.signals import obeying_signals
from cxrsync.config.job import Job
from cxrsync.config.parse_job import make_job
from cxrsync.dataset.source_factory import open_source, opened
from cxrsync.events import RunSummary
from cxrsync.operations.pull import pull as run_pull
from cxrsync.sources.prompt import TerminalPrompt
from cxrsync.ui.reporters import Reporters


@click.command(cls=Command)
@selection_options
@source_options
@pull_options
@option("dry_run")
@output_options
@click.pass_obj
def pull(
    verbosity: Verbosity, /, dry_run: bool, as_json: bool, progress: str, **options: Any
) -> int:
    """Fetch the selected files that are missing; resume; verify.

    Without a selection, the whole version is selected. Run the same command again to resume:
    nothing is fetched twice. Credentials are looked up only if the server asks for them, in this
    order: PHYSIONET_USERNAME with PHYSIONET_PASSWORD or PHYSIONET_PASSWORD_FILE (for physionet.org,
    or the host that PHYSIONET_HOST names), keyring, ~/.netrc, a prompt.
    """
    job = make_job(options)
    if dry_run:
        return print_forecast(job, verbosity, as_json=as_json)
    return pull_job(job, verbosity, as_json=as_json, progress=progress).exit_code


def pull_job(
    job: Job,
    verbosity: Verbosity,
    *,
    as_json: bool,
    progress: str,
    distrust: Iterable[str] = (),
) -> RunSummary:
    """Run a job and report it to a terminal, a log or a program.

    ``distrust``: paths of files that are wrong, even if the state says that they are verified.
    Raises any CxrsyncError that ends the run early.
    """
    reporters = Reporters(
        verbosity.level, json_to=verbosity.output if as_json else None, progress=progress
    )
    try:
        return asyncio.run(_run(job, reporters, distrust))
    finally:
        reporters.close()


async def _run(job: Job, reporters: Reporters, distrust: Iterable[str]) -> RunSummary:
    prompt = TerminalPrompt()
    with obeying_signals(prompt, reporters) as cancel:
        async with opened(open_source(job, reporters.tell, prompt)) as source:
            return await run_pull(job, source, reporters.tell, cancel, distrust)
