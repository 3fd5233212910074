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
from cxrsync.engine.stop import Stop
from cxrsync.errors import ExitCode
from cxrsync.job import Job
from cxrsync.model import Notice, Summary
from cxrsync.options import make_job
from cxrsync.report.listeners import Audience
from cxrsync.source.prompt import TerminalPrompt

_SIGNALS = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGHUP: ExitCode.TERMINATED,  # the terminal, or the ssh session, has gone
}


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
    audience = Audience(loudness.level, as_json=as_json, progress=progress)
    try:
        return asyncio.run(_run(job, audience, distrust)).exit_code
    finally:
        audience.close()


async def _run(job: Job, audience: Audience, distrust: Iterable[str]) -> Summary:
    stop = Stop()
    prompt = TerminalPrompt()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals, code: ExitCode) -> None:
        if stop.code is not None or prompt.abandon():
            # Asked twice, or before there was anything to save: at once. What is on the disk
            # stays good.
            os._exit(code)
        stop.request(code)
        audience.tell(Notice(f"{number.name}: saving the state; once more to stop at once"))

    for number, code in _SIGNALS.items():
        loop.add_signal_handler(number, on_signal, number, code)
    return await run_job(job, audience.tell, stop, prompt, distrust)
