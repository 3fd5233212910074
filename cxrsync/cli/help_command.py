"""``cxrsync help``: a topic, a command, or an exit code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

import click

from cxrsync.cli.commands import COMMANDS
from cxrsync.cli.completion_values import complete_help
from cxrsync.cli.environment import Command
from cxrsync.cli.help.page import Page, Rows
from cxrsync.cli.help.program_page import contents_page
from cxrsync.cli.help.terminal import shown
from cxrsync.cli.help.topics import TOPICS
from cxrsync.cli.main import Verbosity
from cxrsync.cli.program_options import page_text
from cxrsync.config.option import Option, called
from cxrsync.config.option_table import OPTIONS
from cxrsync.errors import ExitCode, UsageError
from cxrsync.exit_codes import MEANINGS
from cxrsync.sanitize import shown_word

_OF_PYTHON = frozenset({"python", "notebook", "notebooks", "jupyter", "colab", "api"})
_CODE = re.compile(r"(?:exit-?)?(?:codes?-?)?([0-9]{1,3})", re.ASCII)


@click.command(name="help", cls=Command, context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, metavar="[TOPIC|COMMAND|CODE]", shell_complete=complete_help)
@click.pass_context
def help_command(ctx: click.Context, /, words: tuple[str, ...]) -> int:
    """Explain a command or a topic.

    Without an argument, the topics and commands are listed.
    """
    verbosity: Verbosity = ctx.obj
    verbosity.output.write(_text(ctx, words) + "\n")
    return ExitCode.COMPLETE


def _text(ctx: click.Context, words: tuple[str, ...]) -> str:
    """Return the help that the words ask for. Raises UsageError."""
    asked = _joined(words)
    if not asked:
        return shown(contents_page(), style=ctx.color)
    if asked in TOPICS:
        return shown(TOPICS[asked].page(), style=ctx.color)
    if (context := _command(ctx, words)) is not None:
        return page_text(context, everything=False)
    if (match := _CODE.fullmatch(asked)) and int(match[1]) in MEANINGS:
        return shown(_exit_code(ExitCode(int(match[1]))), style=ctx.color)
    raise UsageError(
        f"no such topic or command: {shown_word(' '.join(words))}", next_step=_step(words)
    )


def _joined(words: Sequence[str]) -> str:
    """Return the words as one name: ``Exit Codes`` is exit-codes."""
    return "-".join(words).strip().casefold().replace("_", "-")


def _command(ctx: click.Context, words: tuple[str, ...]) -> click.Context | None:
    """Return the context of the command that the words name: ``pull``, ``slurm pull``; or None."""
    first, *more = (word.strip().casefold() for word in words)
    if first not in COMMANDS:
        return None
    context = click.Context(COMMANDS[first].imported(), ctx.parent, first)
    for name in more:
        command = context.command
        if not isinstance(command, click.Group) or name not in command.commands:
            return None
        context = click.Context(command.commands[name], context, name)
    return context


def _exit_code(code: ExitCode) -> Page:
    what, step = MEANINGS[code]
    rows = ((str(int(code)), f"{what[0].upper()}{what[1:]}. {step}".strip()),)
    return Page("cxrsync exit-codes", "An exit code of cxrsync.", (Rows(rows),))


def _explained(option: Option) -> str:
    """Return which help explains an option: that of the first command that has it."""
    for name, entry in COMMANDS.items():
        if any(option.typed in param.opts for param in entry.imported().params):
            return f"`cxrsync {name} --help-all` explains it."
    return "`cxrsync help environment` lists all options."


def _step(words: Sequence[str]) -> str:
    """Return what the user may have meant: a topic, a command or an option."""
    from cxrsync.cli.unknown_command import near_command  # here, so that help loads no library

    asked, first = _joined(words), _joined(words[:1])
    if len(words) > 1 and first in COMMANDS:
        group = COMMANDS[first].imported()
        below = list(group.commands) if isinstance(group, click.Group) else []
        close = get_close_matches(_joined(words[1:]), below, n=1)
        return f"Did you mean cxrsync help {' '.join([first, *close])}?"
    for name, topic in TOPICS.items():
        if asked in topic.near.split():
            return f"Did you mean cxrsync help {name}?"
    meant = called(asked, OPTIONS)
    if by_name := [each for each in meant if each.typed.lstrip("-") == asked.lstrip("-")]:
        return f"{by_name[0].typed} is an option: {_explained(by_name[0])}"
    if near := near_command(asked):  # before what other programs call an option
        return f"Did you mean cxrsync help {near.partition(' ')[0]}?"
    if meant:
        return f"{meant[0].typed} is an option: {_explained(meant[0])}"
    if asked in _OF_PYTHON:
        return "In Python: import cxrsync; help(cxrsync.pull). docs/python.md explains it."
    if close := get_close_matches(asked, [*TOPICS, *COMMANDS], n=1, cutoff=0.75):
        return f"Did you mean cxrsync help {close[0]}?"
    if close := get_close_matches(f"--{asked}", [each.typed for each in OPTIONS], 1, 0.75):
        return f"Did you mean the option {close[0]}?"
    return "`cxrsync help` lists the topics and commands."
