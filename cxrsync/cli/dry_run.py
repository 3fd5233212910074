"""``cxrsync pull --dry-run``: print what a pull would fetch."""

from __future__ import annotations

import asyncio
import json

from cxrsync.cli.main import Verbosity, say_error
from cxrsync.cli.signals import obeying_signals
from cxrsync.config.job import Job
from cxrsync.dataset.source_factory import open_source, opened
from cxrsync.errors import ExitCode
from cxrsync.operations.dry_run import forecast
from cxrsync.plan.forecast import Forecast
from cxrsync.sources.prompt import TerminalPrompt
from cxrsync.ui.dry_run_text import as_fields, in_words
from cxrsync.ui.reporters import Reporters


def print_forecast(job: Job, verbosity: Verbosity, *, as_json: bool) -> int:
    """Print what a pull of the job would do; return the exit code."""
    found = asyncio.run(_look(job, verbosity))
    output = verbosity.output
    text = json.dumps(as_fields(found)) if as_json else in_words(found, output.width)
    output.write(text + "\n")
    if found.refusal is not None and not job.force:
        say_error(found.refusal)
        return found.refusal.exit_code
    return ExitCode.COMPLETE


async def _look(job: Job, verbosity: Verbosity) -> Forecast:
    with Reporters(verbosity.level, progress="auto") as reporters:
        prompt = TerminalPrompt()
        with obeying_signals(prompt, reporters) as cancel:
            async with opened(open_source(job, reporters.tell, prompt)) as source:
                return await forecast(job, source, reporters.tell, cancel)
