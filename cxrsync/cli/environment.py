"""Options of the option table as click options with environment variables."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from cxrsync.cli.program_options import after_the_command, help_all, page_text, with_json
from cxrsync.cli.unknown_option import refuse_odd_dashes, unknown_option, unknown_subcommand
from cxrsync.cli.wrong_usage import missing_argument, too_many_arguments, wrong_use_of_option
from cxrsync.config.option import Option, Type
from cxrsync.config.option_table import BY_NAME
from cxrsync.config.option_value import parse_text
from cxrsync.config.variables import refuse_empty, refuse_unknown_variables

# Options whose parameter has another name, because theirs is a builtin or a module.
_PARAMETERS = {
    "json": "as_json",
    "all": "everything",
    "format": "form",
    "print": "form",
    "as": "loader",
}

F = TypeVar("F", bound=Callable[..., Any])


class _Value(click.ParamType):  # type: ignore[type-arg]  # generic in later clicks only
    """Converts text to a value of the type in the option table."""

    name = "text"

    def __init__(self, option: Option) -> None:
        self._option = option

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):  # a default
            return value
        source = ctx.get_parameter_source(param.name or "") if ctx and param else None
        is_variable = source is ParameterSource.ENVIRONMENT
        return parse_text(self._option, value, self._option.variable if is_variable else "")


class _Flag(_Value, click.types.BoolParamType):
    """The same for a flag. click recognises flags by this base class."""


class TableOption(click.Option):
    """An option of the table, with its environment variable.

    The variable holds the values of a repeatable option one a line: click would split them at
    blanks, as in ``No Finding=1``. The value of an absent option is None, never an empty list.
    """

    def __init__(self, names: Sequence[str], option: Option, text: str) -> None:
        self._known = option
        is_flag = option.type is Type.FLAG
        more: dict[str, Any] = {}
        if is_flag:
            # Explicit values, because click 8.2.0 infers others for a flag with a type.
            more = {"is_flag": True, "flag_value": True, "default": False}
        elif not option.is_of_job:  # for the others, make_job knows the defaults
            more["default"] = option.default
        super().__init__(
            names,
            type=_Flag(option) if is_flag else _Value(option),
            multiple=option.repeatable,
            metavar=option.metavar or None,
            envvar=option.variable,
            help=text or option.help_text,
            **more,
        )

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:  # noqa: ARG002 - click's
        assert isinstance(self.envvar, str)
        # click treats an empty variable as absent.
        refuse_empty(self._known, os.environ.get(self.envvar, "set"))
        # Not click's own method: that of 8.2 turns "0" of a flag into True.
        return os.environ.get(self.envvar)

    def value_from_envvar(self, ctx: click.Context) -> Any:
        if not self.multiple:
            return super().value_from_envvar(ctx)
        value = self.resolve_envvar_value(ctx)
        return None if value is None else [line for line in value.splitlines() if line.strip()]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from cxrsync.cli.completion_values import complete_option  # here: only completion needs it

        return complete_option(self._known, ctx, incomplete)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        return record and (record[0], f"{record[1]} [env: {self.envvar}]")

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        value = super().process_value(ctx, value)
        return None if self.multiple and not value else value


def option(name: str, text: str = "") -> Callable[[F], F]:
    """Return a decorator that adds an option of the table; ``text`` replaces its help."""
    known = BY_NAME[name]
    names = [known.short, known.typed, _PARAMETERS.get(name, name)]
    return click.option(*filter(None, names), cls=TableOption, option=known, text=text)


class ShortHelp(click.Command):
    """A command with -h and --help, in whichever context its help is made first: click remembers
    the option."""

    def get_help_option_names(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        return ["-h", "--help"]


class CommandGroup(ShortHelp, click.Group):
    """A command that has commands of its own."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not ctx.resilient_parsing:
            raise unknown_subcommand(args[0], ctx, list(self.commands))
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(page_text(ctx, everything=False))


class Command(ShortHelp):
    """A command that refuses unknown variables and options, and names the one that was meant."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [*after_the_command(), help_all()]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:  # while a shell completes the line
            return super().parse_args(ctx, args)
        refuse_odd_dashes(args, ctx)
        try:
            return super().parse_args(ctx, with_json(ctx, args))
        except click.NoSuchOption as problem:
            raise unknown_option(problem.option_name, ctx) from None
        except click.MissingParameter as problem:
            raise missing_argument(problem.param, ctx) from None
        except click.BadOptionUsage as problem:
            raise wrong_use_of_option(problem.option_name, ctx) from None
        except click.BadParameter:
            raise
        except click.UsageError:
            raise too_many_arguments(ctx) from None

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(page_text(ctx, everything=False))

    def invoke(self, ctx: click.Context) -> Any:
        refuse_unknown_variables()
        return super().invoke(ctx)
