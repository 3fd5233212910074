"""The error for an unknown option: it names the option that the user may have meant."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import click

from cxrsync.cli.program_options import full_help
from cxrsync.config.option import Group, Option, called, either, nearest
from cxrsync.config.option_table import OPTIONS
from cxrsync.config.option_value import SIGN_IN_HINT
from cxrsync.errors import UsageError
from cxrsync.sanitize import shown_word

_RESUMES = "No option is needed: every run resumes where the last one stopped."
_VERIFIES = "No option is needed: every file is verified before it gets its final name."
# Options of other programs that are not needed here, and why.
_NEEDLESS = {
    **dict.fromkeys(("c", "C", "N", "continue", "resume", "timestamping", "no-clobber"), _RESUMES),
    **dict.fromkeys(("checksum", "check-integrity", "verify", "sha256"), _VERIFIES),
    **dict.fromkeys(("p", "password", "http-password", "ask-password", "pass"), SIGN_IN_HINT),
    **dict.fromkeys(
        ("netrc", "netrc-file", "use-netrc"),
        "No option is needed: ~/.netrc is read, or the file that the variable NETRC names.",
    ),
    # --label Pneumonia -1
    "1": 'The value of a label belongs to its name, in one word: --label "Pneumonia=-1".',
    **dict.fromkeys(
        ("r", "m", "np", "recursive", "mirror", "no-parent", "no-host-directories"),
        "No option is needed: without a selection the whole version is pulled.",
    ),
}

_ODD_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2212"


def unknown_option(name: str, ctx: click.Context) -> UsageError:
    """Return the error for an option that the command of ``ctx`` does not have."""
    own = [param.opts[-1] for param in ctx.command.params if isinstance(param, click.Option)]
    here = [option for option in OPTIONS if option.typed in own]
    is_of_table = any(option.group is not Group.PROGRAM for option in here)
    meant = called(name, OPTIONS) if is_of_table else []
    near = [option.typed for option in meant if option in here]
    if not near and name.lstrip("-") in _NEEDLESS:
        step = _NEEDLESS[name.lstrip("-")]
    elif not near and meant:
        step = _where(meant[0], ctx)
    else:
        near = near or [option.typed for option in nearest(name, here) if is_of_table]
        own += ctx.help_option_names
        near = near or get_close_matches(name, own, n=1, cutoff=0.75)
        near = near or get_close_matches(name, own)
        step = f"Did you mean {' or '.join(near)}?" if near else _help(ctx)
    return UsageError(f"no such option: {name}", next_step=step)


def unknown_subcommand(word: str, ctx: click.Context, commands: Sequence[str]) -> UsageError:
    """Return the error for a word behind a command that is none of its ``commands``."""
    close = get_close_matches(word.casefold(), commands, n=1, cutoff=0.5)
    near = f"Did you mean {ctx.command_path} {close[0]}?" if close else ""
    return UsageError(
        f"{ctx.command_path} has no command {shown_word(word)}",
        next_step=near or f"Write {ctx.command_path} {either(tuple(commands))}.",
    )


def refuse_odd_dashes(args: Sequence[str], ctx: click.Context) -> None:
    """Raise UsageError for ``-jpg`` and ``–jpg``, which mean ``--jpg``.

    The first would be read as ``-j pg``; the second, which text programs make of two hyphens, as
    a name.
    """
    long = {name for param in ctx.command.params for name in param.opts if name.startswith("--")}
    for word in args:
        if word == "--":
            return
        bare = word.lstrip(f"-{_ODD_DASHES}").partition("=")[0]
        is_one = word.startswith("-") and not word.startswith("--") and len(bare) > 1
        is_odd = bool(word) and word[0] in _ODD_DASHES
        if (is_one or is_odd) and f"--{bare}" in long:
            raise UsageError(
                f"no such option: {word}", next_step=f"Write --{bare}, with two hyphens."
            )


def _where(option: Option, ctx: click.Context) -> str:
    if ctx.parent is None:
        return f"Write it after the command: cxrsync pull {option.typed}"
    return f"{option.typed} is an option of other commands. {_help(ctx)}"


def _help(ctx: click.Context) -> str:
    return f"`{full_help(ctx)}` lists the options."
