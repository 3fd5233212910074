"""The environment variables of the options: what they are called, and that none is in vain.

A variable that no option has is refused, as an option is that there is not: whoever wrote
``CXRSYNC_SUBJEKT`` meant some patient, and not the whole version. So is one that is set but empty,
a flag's too: ``CXRSYNC_METADATA_ONLY=`` is a script's unset variable, and no wish for 4.7 TB.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from typing import Any

import click

from cxrsync.catalog.load import OWN_CATALOGUE
from cxrsync.errors import UsageError

_PREFIX = "CXRSYNC_"
# Those that are no option's: a catalogue, and the environment that the scripts make.
_OTHERS = frozenset({OWN_CATALOGUE, "CXRSYNC_VENV"})
_MAX_NAMED = 5


class Option(click.Option):
    """An option with the variable ``CXRSYNC_<OPTION>``: no command in its name, and repeated
    values one a line (click would split them at blanks: ``No Finding=1``). Its value is None
    where it is absent, never an empty list."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.envvar is None:
            longest = max(self.opts, key=len).lstrip("-")
            self.envvar = _PREFIX + longest.replace("-", "_").upper()
            self.show_envvar = False

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        assert isinstance(self.envvar, str)
        # click takes an empty variable for an absent one.
        if not os.environ.get(self.envvar, "set").strip():
            raise UsageError(
                f"the variable {self.envvar} is set, but empty",
                next_step="Say 1 or 0, or unset it."
                if self.is_flag
                else "Give it a value, or unset it: an empty one is not taken for everything.",
            )
        return super().resolve_envvar_value(ctx)

    def value_from_envvar(self, ctx: click.Context) -> Any:
        if not self.multiple:
            return super().value_from_envvar(ctx)
        value = self.resolve_envvar_value(ctx)
        return None if value is None else [line for line in value.splitlines() if line.strip()]

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        value = super().process_value(ctx, value)
        return None if self.multiple and not value else value


class Command(click.Command):
    """A command that refuses variables which belong to no option of any command."""

    def invoke(self, ctx: click.Context) -> Any:
        refuse_unknown_variables(ctx)
        return super().invoke(ctx)


def refuse_unknown_variables(ctx: click.Context) -> None:
    """Raise UsageError for a variable of ours that no option has, naming what is near."""
    here = {name for name in os.environ if name.startswith(_PREFIX)}
    known = set(_OTHERS)
    for command in _commands(ctx):
        known.update(each.envvar for each in command.params if isinstance(each.envvar, str))
        if here <= known:
            return  # no further command needs to be imported
    left = sorted(here - known)
    named = ", ".join(left[:_MAX_NAMED]) + (" and more" if len(left) > _MAX_NAMED else "")
    raise UsageError(
        f"unknown variable{'s' if len(left) > 1 else ''} {named}",
        next_step=f"{_near(left[0], known)}What begins with {_PREFIX} has to be an option: "
        "correct it, or unset it.",
    )


def _commands(ctx: click.Context) -> Iterator[click.Command]:
    yield ctx.command
    group = ctx.find_root().command
    if isinstance(group, click.Group) and group is not ctx.command:
        yield group
        for name in group.list_commands(ctx):
            command = group.get_command(ctx, name)
            assert command is not None
            yield command


def _near(name: str, known: set[str]) -> str:
    ends = sorted(each.removeprefix(_PREFIX) for each in known)
    near = difflib.get_close_matches(name.removeprefix(_PREFIX), ends, n=3, cutoff=0.6)
    return f"Near: {', '.join(_PREFIX + each for each in near)}. " if near else ""
