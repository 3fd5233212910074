"""``cxrsync pull``: fetch the selected files that are missing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from time import time
from typing import Any

import click

from cxrsync.cli.dry_run import print_forecast
from cxrsync.cli.environment import Command, option
from cxrsync.cli.html_report import report_file, write_report
from cxrsync.cli.main import Verbosity, say_error
from cxrsync.cli.options import (
    job_of,
    output_options,
    places_argument,
    pull_options,
    selection_options,
    source_options,
)
from cxrsync.cli.output_options import OutputOptions, reporting
from cxrsync.cli.signals import obeying_signals
from cxrsync.config.job import Job
from cxrsync.dataset.source_factory import open_source, opened
from cxrsync.errors import CxrsyncError, UsageError, worst_of
from cxrsync.events import Event, EventSink, Finished, RunSummary
from cxrsync.operations.pull import Scope
from cxrsync.operations.pull import pull as run_pull
from cxrsync.progress_events import Activity, Phase
from cxrsync.sources.prompt import TerminalPrompt
from cxrsync.ui.reporters import Reporters


@click.command(cls=Command)
@places_argument
@selection_options
@source_options
@pull_options
@option("dry_run")
@option("report")
@option("on")
@output_options
@click.pass_obj
def pull(
    verbosity: Verbosity,
    /,
    dry_run: bool,
    report: Path | None,
    on: str | None,
    **options: Any,
) -> int:
    """Fetch the selected files that are missing; resume; verify.

    PLACE is the name of a dataset, as mimic-cxr-jpg or mimic-cxr-jpg/2.1.0, or the address of a
    dataset, a file or a folder, as it stands in the browser. Without a selection, the whole version
    is selected. Run the same command again to resume:
    nothing is fetched twice. Credentials are looked up only if the server asks for them, in this
    order: PHYSIONET_USERNAME with PHYSIONET_PASSWORD or PHYSIONET_PASSWORD_FILE (for physionet.org,
    or the host that PHYSIONET_HOST names), keyring, ~/.netrc, a prompt.
    """
    file = report_file(report, "--report")
    output = OutputOptions.taken_from(options)
    job = job_of(options)
    if dry_run and file is not None:
        raise UsageError(
            "--dry-run has no run that --report could describe",
            next_step="Leave out one of them; `cxrsync status --html FILE` describes the tree.",
        )
    if on is not None:
        refuse_with_on(dry_run=dry_run, report=file)
        from cxrsync.cli.on_dask import pull_on_dask  # here: few need it

        return pull_on_dask(job, on, verbosity, output)
    if dry_run:
        return print_forecast(job, verbosity, as_json=output.as_json)
    if file is None:
        return pull_job(job, verbosity, output).exit_code
    return _pull_and_report(job, verbosity, output, file)


def refuse_with_on(**options: object) -> None:
    """Raise UsageError for an option that --on cannot be combined with."""
    for name, value in options.items():
        if value:
            raise UsageError(
                f"--on cannot be combined with --{name.replace('_', '-')}",
                next_step="Run the command without --on for that.",
            )


def _pull_and_report(job: Job, verbosity: Verbosity, output: OutputOptions, file: Path) -> int:
    """Run a job and write its report, however the run ends. Returns the exit code.

    Raises any CxrsyncError that ends the run early.
    """
    began = time()
    summary: RunSummary | None = None

    def listen(event: Event) -> None:
        nonlocal summary
        if isinstance(event, Finished):
            summary = event.summary

    report_error: CxrsyncError | None = None
    try:
        code = pull_job(job, verbosity, output, listen=listen).exit_code
    finally:
        try:
            with Reporters(verbosity.level) as reporters:
                reporters.tell(Phase(Activity.REPORTING))
                _write_report(job, file, summary, began)
        except CxrsyncError as problem:
            say_error(problem)
            report_error = problem
    return code if report_error is None else worst_of((code, report_error.exit_code))


def _write_report(job: Job, file: Path, summary: RunSummary | None, began: float) -> None:
    # Imported here: a pull without a report does not need it.
    from cxrsync.operations.html_report import gather_after

    write_report(file, gather_after(job, summary, began))


def pull_job(
    job: Job,
    verbosity: Verbosity,
    output: OutputOptions,
    *,
    distrust: Iterable[str] = (),
    listen: EventSink = lambda _event: None,
) -> RunSummary:
    """Run a job and report it to a terminal, a log or a program.

    ``distrust``: paths of files that are wrong, even if the state says that they are verified.
    ``listen`` is called with each event, too. Raises any CxrsyncError that ends the run early.
    """
    with reporting(verbosity, output) as reporters:
        return asyncio.run(_run(job, reporters, distrust, listen))


async def _run(
    job: Job, reporters: Reporters, distrust: Iterable[str], listen: EventSink
) -> RunSummary:
    def tell(event: Event) -> None:
        reporters.tell(event)
        listen(event)

    prompt = TerminalPrompt()
    with obeying_signals(prompt, reporters) as cancel:
        async with opened(open_source(job, tell, prompt)) as source:
            return await run_pull(job, source, tell, cancel, Scope(frozenset(distrust)))
