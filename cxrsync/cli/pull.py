"""``cxrsync pull``"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import click

from cxrsync.api import run_job
from cxrsync.cli.dry_run import tell_forecast
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
from cxrsync.events import RunSummary
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
    """Fetch what is selected and not there yet; resume; verify.

    No selection means the whole version. Run the same command again to go on: nothing is fetched
    twice. Credentials are looked for only if the server asks: PHYSIONET_USERNAME with
    PHYSIONET_PASSWORD or PHYSIONET_PASSWORD_FILE (for physionet.org, or the host that
    PHYSIONET_HOST names), keyring, ~/.netrc, then a prompt.
    """
    job = make_job(options)
    if dry_run:
        return tell_forecast(job, verbosity, as_json=as_json)
    return pull_job(job, verbosity, as_json=as_json, progress=progress).exit_code


def pull_job(
    job: Job,
    verbosity: Verbosity,
    *,
    as_json: bool,
    progress: str,
    distrust: Iterable[str] = (),
) -> RunSummary:
    """Run a job in front of a person or a log. Raises what ends it early.

    ``distrust``: files that were found wrong, whatever the state says of them.
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
    with obeying_signals(prompt, reporters) as stop:
        return await run_job(job, reporters.tell, stop, prompt, distrust)
