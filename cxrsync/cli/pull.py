"""``cxrsync pull``"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable
from typing import Any

import click

from cxrsync.api import run_job
from cxrsync.cli.main import Loudness
from cxrsync.cli.options import output_options, selection_options, source_options
from cxrsync.engine.outage import Emit
from cxrsync.engine.stop import Stop
from cxrsync.errors import ExitCode
from cxrsync.job import Job
from cxrsync.model import Event, Finished, Notice, Summary
from cxrsync.options import make_job
from cxrsync.report.listeners import listeners_for
from cxrsync.report.summary import as_text
from cxrsync.source.credentials import ask_on_terminal


@click.command()
@selection_options
@source_options
@output_options
@click.pass_obj
def pull(loudness: Loudness, /, as_json: bool, progress: str, **options: Any) -> int:
    """Fetch what is selected and not there yet; resume; verify.

    No selection means the whole version. Run the same command again to go on: nothing is fetched
    twice. Credentials are looked for only if the server asks: PHYSIONET_USERNAME with
    PHYSIONET_PASSWORD or PHYSIONET_PASSWORD_FILE, keyring, ~/.netrc, then a prompt.
    """
    return pull_job(make_job(options), loudness, as_json=as_json, progress=progress)


def pull_job(
    job: Job,
    loudness: Loudness,
    *,
    as_json: bool,
    progress: str,
    distrust: Iterable[str] = (),
) -> int:
    """Run a job in front of a person or a log; returns the exit code.

    ``distrust``: files that were found wrong, whatever the state says of them.
    """
    listeners = listeners_for(loudness.level, as_json=as_json, progress=progress)

    def emit(event: Event) -> None:
        for listener in listeners:
            listener.listen(event)
        if isinstance(event, Finished) and loudness.level >= 0:
            text = as_text(event.summary)
            if text:
                click.echo(text, err=True)

    try:
        return asyncio.run(_run(job, emit, distrust)).exit_code
    finally:
        for listener in listeners:
            listener.close()


async def _run(job: Job, emit: Emit, distrust: Iterable[str]) -> Summary:
    stop = Stop()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals, code: ExitCode) -> None:
        if stop.code is not None:
            os._exit(code)  # asked twice: at once; what is on the disk stays good
        emit(Notice(f"{number.name}: saving the state; once more to stop at once"))
        stop.request(code)

    loop.add_signal_handler(signal.SIGINT, on_signal, signal.SIGINT, ExitCode.INTERRUPTED)
    loop.add_signal_handler(signal.SIGTERM, on_signal, signal.SIGTERM, ExitCode.TERMINATED)
    return await run_job(job, emit, stop, ask_on_terminal, distrust)
