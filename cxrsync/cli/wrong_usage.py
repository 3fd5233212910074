"""The errors for a command line whose words are known, but too many or too few.

They do not repeat what was written: it may be a password.
"""

from __future__ import annotations

import click

from cxrsync.cli.program_options import full_help
from cxrsync.errors import UsageError

# An example of each command that needs an argument.
_EXAMPLES = {
    "head": "cxrsync head split, or cxrsync head mimic-cxr/cxr-record-list",
    "diff": "cxrsync diff --jpg 2.0.0 2.1.0",
    "mirror": "cxrsync mirror jobs.yaml",
}


def missing_argument(param: click.Parameter | None, ctx: click.Context) -> UsageError:
    """Return the error for a command without an argument that it needs."""
    name = "an argument" if param is None else param.human_readable_name
    return UsageError(f"{ctx.info_name} needs {name}", next_step=_step(ctx))


def wrong_use_of_option(name: str, ctx: click.Context) -> UsageError:
    """Return the error for an option without its value, or for a flag with one."""
    option = next((each for each in ctx.command.params if name in each.opts), None)
    if isinstance(option, click.Option) and option.is_flag:
        return UsageError(f"{name} takes no value", next_step=f"Write {name} alone.")
    metavar = getattr(option, "metavar", None) or "VALUE"
    return UsageError(
        f"{name} requires an argument",
        next_step=f"Write {name} {metavar}. `{full_help(ctx)}` says what it may be.",
    )


def too_many_arguments(ctx: click.Context) -> UsageError:
    """Return the error for a command with more arguments than it takes."""
    taken = [each.human_readable_name for each in ctx.command.params if _is_argument(each)]
    what = " and ".join(taken) if taken else "no argument"
    return UsageError(
        f"{ctx.info_name} takes {what}, and nothing else",
        next_step="A value with blanks is written in quotes. " + _step(ctx),
    )


def _is_argument(param: click.Parameter) -> bool:
    return isinstance(param, click.Argument)


def _step(ctx: click.Context) -> str:
    example = _EXAMPLES.get(ctx.info_name or "")
    text = f"For example: {example}. " if example else ""
    return f"{text}`{ctx.command_path} --help` tells more."
