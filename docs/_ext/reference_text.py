"""The reference as Markdown, from what the program itself reads: the option table, the commands of
click, the events and their JSON keys, the exit codes. Pure; nothing of Sphinx is imported."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeGuard

import click

import cxrsync
from cxrsync import events
from cxrsync.cli.main import cli
from cxrsync.config.mirror_options import FILE_OPTIONS, JOB_SETTINGS
from cxrsync.config.option import Group, Option
from cxrsync.config.option_table import JOB_OPTIONS, OPTIONS
from cxrsync.events import RunSummary, Totals
from cxrsync.model import Outcome, Result
from cxrsync.ui.json_lines import as_fields, progress_fields
from cxrsync.ui.progress import Progress


def options() -> str:
    """Every option, by group, with its variable, and what it does."""
    parts = []
    for group in Group:
        members = [each for each in OPTIONS if each.group is group]
        if members:
            rows = [(_typed(each), f"`{each.variable}`", _cell(each.help_text)) for each in members]
            parts += [f"## {group.value}", _table(("option", "variable", "meaning"), rows)]
    return "\n\n".join(parts)


def commands() -> str:
    """Every command: its usage, what it does, its options."""
    context = click.Context(cli, info_name="cxrsync", **cli.context_settings)
    return "\n\n".join(
        _command(name, context, cli.get_command(context, name))
        for name in cli.list_commands(context)
    )


def job_keys() -> str:
    """Every key of a job file, and where it stands."""
    rows = [(f"`{each.key}`", each.form, _cell(each.help_text)) for each in JOB_OPTIONS]
    settings = [(f"`{each.key}`", each.form, _cell(each.help_text)) for each in JOB_SETTINGS]
    whole = [(f"`{each.key}`", each.form, _cell(each.help_text)) for each in FILE_OPTIONS]
    head = ("key", "value", "meaning")
    return "\n\n".join(
        (
            "## Of the whole file",
            _table(head, whole),
            "## Of a job of a mirror, or of `defaults`",
            _table(head, settings),
            "## Options of pull, in a job or in `defaults`",
            _table(head, rows),
        )
    )


def json_keys() -> str:
    """The JSON lines of a pull: each event, when it comes, and its keys."""
    samples = (
        events.Started("", "", "", "", 0),
        events.Planned(0, 0, 0, 0, 0),
        events.FileDone(Outcome("", Result.FETCHED)),
        events.Retrying("", 0, ""),
        events.Waiting("", 0, 0),
        events.ConcurrencyChanged(0),
        events.Notice(""),
    )
    rows = []
    for sample in samples:
        name, fields = as_fields(sample)
        rows.append((f"`{name}`", _first_sentence(type(sample)), _names(fields)))
    progress = progress_fields(Progress(lambda: 0.0))
    rows.append(("`progress`", "Every second, in every phase.", _names(progress)))
    rows.append(("`summary`", "The last line.", _names(_summary().as_json())))
    return _table(("event", "when", "keys"), rows)


def python() -> str:
    """What ``import cxrsync`` offers: functions, what they return, errors."""
    members = [(name, getattr(cxrsync, name)) for name in cxrsync.__all__ if name[:2] != "__"]
    functions = [name for name, each in members if inspect.isfunction(each)]
    errors = [each for _name, each in members if _is_error(each)]
    functions.sort(key=_order)
    returned = [
        name for name, each in members
        if inspect.isclass(each) and not _is_error(each) and not name.endswith("Options")
    ]  # fmt: skip
    return "\n\n".join(
        (
            "## Functions",
            *(_autodoc("function", f"cxrsync.{name}") for name in functions),
            "## What they return",
            *(_autodoc("class", f"cxrsync.{name}()") for name in returned),
            "## Errors",
            _ERRORS,
            _table(
                ("error", "exit code", "when"),
                [
                    (f"`{each.__name__}`", str(int(each.exit_code)), _cell(_first_sentence(each)))
                    for each in errors
                ],
            ),
        )
    )


_ERRORS = (
    "`str(error)` says what happened, `error.next_step` what to do, and `error.exit_code` how the "
    "command line would end. The failure of a single file is no error, but an entry of "
    "`report.problems`."
)


def _is_error(each: object) -> TypeGuard[type[cxrsync.CxrsyncError]]:
    return inspect.isclass(each) and issubclass(each, cxrsync.CxrsyncError)


def _order(function: str) -> int:
    """In the order of use; a new one comes last."""
    usual = ["pull", "apull", "dry_run", "ls", "status", "verify"]
    return usual.index(function) if function in usual else len(usual)


def _autodoc(kind: str, name: str) -> str:
    return f"```{{eval-rst}}\n.. auto{kind}:: {name}\n```"


PARTS: dict[str, Callable[[], str]] = {
    "options": options,
    "commands": commands,
    "job-keys": job_keys,
    "json-keys": json_keys,
    "python": python,
}


def _summary() -> RunSummary:
    none = Totals()
    return RunSummary(
        "", "", "", "", none, none, none, none, none, none, none, none, none, 0, 0.0, 0
    )


def _command(
    name: str, context: click.Context, command: click.Command | None, level: int = 2
) -> str:
    assert command is not None
    own = click.Context(command, info_name=name.rpartition(" ")[2], parent=context)
    usage = " ".join([own.command_path, *command.collect_usage_pieces(own)])
    given = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    rows = [(_opts(each), _cell(each.help or "")) for each in given]
    said = inspect.cleandoc(command.help or "")
    text = "\n\n".join(map(_paragraph, re.split(r"\n{2,}", said)))
    table = _table(("option", "meaning"), rows) if rows else ""
    below = (
        [
            _command(f"{name} {each}", own, command.get_command(own, each), level + 1)
            for each in command.list_commands(own)
        ]
        if isinstance(command, click.Group)
        else []
    )
    head = f"{'#' * level} cxrsync {name}"
    return "\n\n".join([head, f"```text\n{usage}\n```", text, table, *below])


def _paragraph(text: str) -> str:
    """A paragraph of a docstring; one after ``\\b`` keeps its lines."""
    if text.startswith("\b"):
        return "```text\n" + inspect.cleandoc(text.removeprefix("\b\n")) + "\n```"
    return _cell(text)


def _opts(option: click.Option) -> str:
    names = ", ".join(sorted(option.opts, key=len))
    return f"`{names}{f' {option.metavar}' if option.metavar else ''}`"


def _typed(option: Option) -> str:
    names = ", ".join(filter(None, (option.short, option.typed)))
    return f"`{names}{f' {option.metavar}' if option.metavar else ''}`"


def _first_sentence(kind: type) -> str:
    return re.split(r"(?<=\.)\s", inspect.cleandoc(kind.__doc__ or ""))[0].replace("\n", " ")


def _names(fields: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in fields)


def _cell(text: str) -> str:
    """Text of a help as Markdown: one line; what Markdown would take for its own is escaped."""
    code = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(
        part.replace("|", "\\|")
        if part.startswith("`")
        else re.sub(r"([*_<>|\[\]])", r"\\\1", part)
        for part in code
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_piped(cell) for cell in row)} |" for row in lines)


def _piped(cell: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", cell)
