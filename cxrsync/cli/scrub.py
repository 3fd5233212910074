"""``cxrsync verify --scrub 30d``: hash the share of the files that is due."""

from __future__ import annotations

import asyncio

from cxrsync import humanize
from cxrsync.cli.signals import obeying_signals
from cxrsync.config.job import Job
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


def in_words(found: Scrubbing, name: str, *, hint: bool) -> list[str]:
    """Return the result as lines for people. ``hint``: also say how to repair the files."""
    result = found.found
    text = (
        f"{name} ({found.selection}): {found.due.files:,} of {humanize.files(found.total.files)} "
        f"({humanize.size(found.due.bytes)} of {humanize.size(found.total.bytes)}) were due: "
        f"{result.good.files:,} good, {len(result.bad):,} bad"
    )
    for count, what in ((len(result.unreadable), "unreadable"), (len(result.missing), "missing")):
        text += f", {count:,} {what}" if count else ""
    lines = [text]
    if found.oldest is not None:
        lines.append(
            f"the oldest proof is {humanize.duration(found.oldest)} old; "
            f"none should reach {humanize.duration(found.period)}"
        )
    if hint and (result.bad or result.missing or result.unreadable):
        lines.append("To fetch these files again, run the same command with --repair")
    return lines
