"""The pages of the program as a whole: of ``cxrsync --help`` and of ``cxrsync help``."""

from __future__ import annotations

from collections.abc import Iterator

import click

from cxrsync.cli.commands import COMMANDS, Part
from cxrsync.cli.help.page import Block, Heading, Page, Rows, Text, Verbatim
from cxrsync.cli.help.topics import TOPICS

SUMMARY = (
    "Download and mirror PhysioNet's chest X-ray datasets, MIMIC-CXR and MIMIC-CXR-JPG, and any "
    "other dataset of PhysioNet: resumable, verified, gentle."
)
# What a newcomer does, in this order.
_FIRST_STEPS = (
    "cxrsync demo                    # all of this on this machine, without an account",
    "cxrsync login                   # your user name and password of PhysioNet",
    "cxrsync access                  # which datasets open to you, and what is missing",
    "cxrsync pull --jpg --shard p10  # one tenth of MIMIC-CXR-JPG; again to resume",
    "cxrsync status --jpg            # what is here",
)
_MORE = (
    "A command's options, with examples: cxrsync COMMAND --help. An option may also be set by its "
    "variable: CXRSYNC_DEST for --dest. The exit code is 0 if all that was asked for is complete "
    "and verified; cxrsync help exit-codes lists the others."
)


def program_page(ctx: click.Context) -> Page:
    """Return the page of ``cxrsync --help``."""
    blocks = [Heading("First steps"), Verbatim(_FIRST_STEPS), *_commands(), *_topics()]
    blocks += [Heading("Options"), Rows(tuple(_options(ctx))), Text(_MORE)]
    return Page("cxrsync", SUMMARY, tuple(blocks), "cxrsync [OPTIONS] COMMAND [ARGS]...")


def contents_page() -> Page:
    """Return the page of ``cxrsync help`` alone: what there is to ask about."""
    summary = "Explain a topic or a command: cxrsync help TOPIC, cxrsync help COMMAND."
    return Page("cxrsync help", summary, (*_topics(), *_commands()))


def _commands() -> list[Block]:
    blocks: list[Block] = []
    for part in Part:
        rows = tuple((each.name, each.summary) for each in COMMANDS.values() if each.part is part)
        blocks += [Heading(part.value), Rows(rows)]
    return blocks


def _topics() -> list[Block]:
    rows = tuple((f"help {name}", topic.summary) for name, topic in TOPICS.items())
    return [Heading("Topics"), Rows(rows)]


def _options(ctx: click.Context) -> Iterator[tuple[str, str]]:
    for param in ctx.command.get_params(ctx):
        record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
        if record is not None:
            yield record
