"""``cxrsync verify --scrub 30d``: hash the share of the files that is due."""

from __future__ import annotations

import asyncio

from cxrsync.cli.signals import obeying_signals
from cxrsync.config.job import Job
from cxrsync.dataset.target import Target
from cxrsync.operations.expected_files import Expectation
from cxrsync.operations.scrub import Scrubbing
from cxrsync.operations.scrub import scrub as scrub_tree
from cxrsync.sources.prompt import TerminalPrompt
from cxrsync.ui.reporters import Reporters


def scrub(expected: Expectation, job: Job, period: float, reporters: Reporters) -> Scrubbing:
    """Scrub until the share is hashed, or a signal or a limit ends it."""

    async def run() -> Scrubbing:
        with obeying_signals(TerminalPrompt(), reporters) as cancel:
            return await scrub_tree(expected, job, period, reporters.tell, cancel)

    return asyncio.run(run())


def in_words(found: Scrubbing, target: Target, *, hint: bool) -> list[str]:
    """Return the result as lines for people. ``hint``: also say how to repair the files."""
    first, *more = found.in_words()
    lines = [f"{target.name} ({found.selection}): {first}", *more]
    result = found.found
    if hint and (result.bad or result.missing or result.unreadable):
        lines.append("To fetch these files again, run the same command with --repair")
    return lines
