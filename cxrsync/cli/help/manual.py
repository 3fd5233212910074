"""All man pages, from the commands and the topics: what `scripts/make-man` writes to ``man/``."""

from __future__ import annotations

from collections.abc import Iterator

import click

from cxrsync.cli.commands import COMMANDS
from cxrsync.cli.help import topic_pages
from cxrsync.cli.help.command_page import command_page
from cxrsync.cli.help.man import as_man
from cxrsync.cli.help.page import Block, Heading, Page, Text
from cxrsync.cli.help.program_page import program_page
from cxrsync.cli.help.topics import TOPICS
from cxrsync.cli.main import cli

_COMMANDS, _MISCELLANEOUS = 1, 7  # sections of the manual


def man_pages() -> dict[str, str]:
    """Return the text of each man page by its path below ``man/``, as man1/cxrsync-pull.1."""
    pages = [(_COMMANDS, page) for page in _pages_of_commands()]
    pages += [(_MISCELLANEOUS, topic.page()) for topic in TOPICS.values()]
    return {
        f"man{section}/{page.name.replace(' ', '-')}.{section}": as_man(_linked(page), section)
        for section, page in pages
    }


def _pages_of_commands() -> Iterator[Page]:
    root = click.Context(cli, info_name="cxrsync")
    program = program_page(root)
    exits = (Heading("Exit status"), *topic_pages.exit_codes().blocks[:1])
    yield Page("cxrsync", program.summary, (*program.blocks, *exits), program.usage)
    for entry in COMMANDS.values():
        context = click.Context(entry.imported(), root, entry.name)
        yield _page(context, entry.summary)
        if isinstance(context.command, click.Group):
            for name, command in context.command.commands.items():
                yield _page(click.Context(command, context, name))


def _page(context: click.Context, summary: str = "") -> Page:
    page = command_page(context, everything=True)
    blocks: tuple[Block, ...] = (Text(page.summary), *page.blocks)
    return Page(page.name, summary or page.summary, blocks, page.usage)


def _linked(page: Page) -> Page:
    """Return the page with a list of the others at its end."""
    commands = [f"cxrsync-{name}(1)" for name in COMMANDS]
    others = ["cxrsync(1)", *commands, *(f"cxrsync-{name}(7)" for name in TOPICS)]
    blocks = (*page.blocks, Heading("See also"), Text(", ".join(others)))
    return Page(page.name, page.summary, blocks, page.usage)
