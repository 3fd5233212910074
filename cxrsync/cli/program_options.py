"""Options of every command: --help-all, and those that may stand before it or after it, -v, -q,
--debug and --json."""

from __future__ import annotations

from typing import Any

import click

from cxrsync.cli.help.terminal import shown
from cxrsync.config.option import Group
from cxrsync.config.option_table import options_of
from cxrsync.errors import UsageError

JSON_PARAMETER = "as_json"


def help_all() -> click.Option:
    """Return the option that shows help with all options of a command."""
    return click.Option(
        ["--help-all"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        help="Show all options and exit.",
        callback=_show_all,
    )


def _show_all(ctx: click.Context, _param: click.Parameter, value: Any) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(page_text(ctx, everything=True), color=ctx.color)
        ctx.exit()


def page_text(ctx: click.Context, *, everything: bool) -> str:
    """Return the help of the command of ``ctx``, for this terminal."""
    from cxrsync.cli.help.command_page import command_page  # here: only help needs it

    return shown(command_page(ctx, everything=everything), style=ctx.color)


def full_help(ctx: click.Context) -> str:
    """Return the command line that shows all options of the command of ``ctx``."""
    from cxrsync.cli.help.command_page import has_more  # here: only errors need it

    return f"{ctx.command_path} --help{'-all' if has_more(ctx) else ''}"


def after_the_command() -> list[click.Option]:
    """Return -v, -q and --debug as options of a command. Their variables are read only once."""
    return [
        click.Option(
            [*filter(None, [known.short]), known.typed],
            is_flag=True,
            expose_value=False,
            hidden=True,
            callback=_change_level,
        )
        for known in options_of(Group.PROGRAM)
    ]


def _change_level(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    change = {"verbose": 1, "quiet": -1}.get(param.name or "", 0)
    if value and ctx.obj is not None and change:
        ctx.obj.level = max(-1, min(1, ctx.obj.level + change))


def with_json(ctx: click.Context, args: list[str]) -> list[str]:
    """Return the arguments of a command, with the --json that stands before it.

    Raises UsageError if the command has no such option.
    """
    if ctx.obj is None or not getattr(ctx.obj, "as_json", False):
        return args
    if any(param.name == JSON_PARAMETER for param in ctx.command.params):
        return ["--json", *args]
    instead = any(param.name == "form" for param in ctx.command.params)
    raise UsageError(
        f"{ctx.info_name} has no --json",
        next_step="Write --format json." if instead and ctx.info_name == "ls" else "Leave it out.",
    )
