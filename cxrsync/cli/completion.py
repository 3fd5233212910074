"""``cxrsync completion``: the script that makes a shell complete the command line."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from cxrsync.cli.environment import Command
from cxrsync.cli.main import Verbosity
from cxrsync.cli.shells import SCRIPTS
from cxrsync.errors import ExitCode, UsageError
from cxrsync.sanitize import shown_word


def _shells(_ctx: click.Context, _param: click.Parameter, word: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in SCRIPTS if name.startswith(word)]


@click.command(cls=Command)
@click.argument("shell", required=False, metavar="bash|zsh|fish", shell_complete=_shells)
@click.pass_obj
def completion(verbosity: Verbosity, /, shell: str | None) -> int:
    """Print what makes a shell complete the command line.

    With it, the Tab key completes commands and options, and values, too: datasets, versions (those
    in DEST first), shards, splits, views, labels, tables, folders. No network is used.

    \b
    eval "$(cxrsync completion bash)"    in ~/.bashrc
    eval "$(cxrsync completion zsh)"     in ~/.zshrc, after compinit
    cxrsync completion fish | source     in ~/.config/fish/config.fish
    """
    name = (shell or "").rpartition("/")[2].casefold()
    if name not in SCRIPTS:
        raise UsageError(
            f"no completion for the shell {shown_word(name)}" if name else "no shell is named",
            next_step=f"Write cxrsync completion {' or '.join(SCRIPTS)}.",
        )
    verbosity.output.write(SCRIPTS[name])
    return ExitCode.COMPLETE
