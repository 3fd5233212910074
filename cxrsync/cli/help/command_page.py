"""The page of a command, from its docstring, its options and the option table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from inspect import cleandoc

import click

from cxrsync.cli.help.examples import EXAMPLES
from cxrsync.cli.help.page import Block, Heading, Page, Rows, Text, Verbatim, examples
from cxrsync.config.option import Option, Section
from cxrsync.config.option_table import OPTIONS

# A command with no more options shows all of them.
MOST_EVERYDAY = 25
# A command with no more options has them under one heading.
_FEW = 8
_ABOUT_PROGRAM = ("-v, -q, --debug", "More words, fewer words, tracebacks.")
_BY_TYPED = {option.typed: option for option in OPTIONS}


@dataclass(frozen=True, slots=True)
class _Shown:
    """An option of a command as help shows it; ``known``: its row of the option table, if any."""

    names: str
    text: str
    known: Option | None

    @property
    def section(self) -> Section:
        return Section.COMMAND if self.known is None else self.known.shown_in


def command_page(ctx: click.Context, *, everything: bool) -> Page:
    """Return the page of the command of ``ctx``: with ``everything``, all its options."""
    first, *more = _paragraphs(ctx.command.help or "")
    summary = " ".join(first.split())
    shown = list(_options(ctx))
    everyday = [each for each in shown if each.known is None or not each.known.advanced]
    if everything or not has_more(ctx):
        everyday = shown
    blocks: list[Block] = list(map(_paragraph, more))
    if pairs := EXAMPLES.get(ctx.command_path.removeprefix("cxrsync "), ()):
        blocks += [Heading("Examples"), *examples(*pairs)]
    if isinstance(ctx.command, click.Group):
        blocks += [Heading("Commands"), Rows(tuple(_subcommands(ctx.command)))]
    blocks += _sections(everyday)
    blocks += [Heading("Help"), Rows(tuple(_about_help(ctx, len(shown))))]
    usage = " ".join([ctx.command_path, *ctx.command.collect_usage_pieces(ctx)])
    return Page(ctx.command_path, summary, tuple(blocks), usage)


def has_more(ctx: click.Context) -> bool:
    """Return whether the command has options that only --help-all shows."""
    shown = list(_options(ctx))
    return len(shown) > MOST_EVERYDAY and any(each.known and each.known.advanced for each in shown)


def _paragraphs(text: str) -> list[str]:
    return [each for each in cleandoc(text).split("\n\n") if each.strip()] or [""]


def _paragraph(text: str) -> Block:
    """Return a paragraph of a docstring; click marks one that is not to be wrapped with \\b."""
    if text.startswith("\b"):
        return Verbatim(tuple(text.splitlines()[1:]))
    return Text(" ".join(text.split()))


def _options(ctx: click.Context) -> Iterator[_Shown]:
    for param in ctx.command.params:
        record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
        if record is None or param.name == "help_all":
            continue
        known = _BY_TYPED.get(param.opts[-1])
        names, text = record
        yield _Shown(names, text, known)


def _subcommands(group: click.Group) -> Iterator[tuple[str, str]]:
    for name, command in group.commands.items():
        yield name, " ".join(_paragraphs(command.help or "")[0].split())


def _sections(shown: Iterable[_Shown]) -> list[Block]:
    by_section: dict[Section, list[tuple[str, str]]] = {each: [] for each in Section}
    shown = list(shown)
    for each in shown:
        section = Section.COMMAND if len(shown) <= _FEW else each.section
        by_section[section].append((each.names, each.text))
    if len(shown) > _FEW and by_section[Section.OUTPUT]:
        by_section[Section.OUTPUT].append(_ABOUT_PROGRAM)
    blocks: list[Block] = []
    for section, rows in by_section.items():
        if rows:
            blocks += [Heading(section.value), Rows(tuple(rows))]
    return blocks


def _about_help(ctx: click.Context, count: int) -> Iterator[tuple[str, str]]:
    is_part = has_more(ctx)
    yield "-h, --help", f"Show {'the everyday options' if is_part else 'this message'} and exit."
    if is_part:
        yield "--help-all", f"Show all {count} options and exit."
    if any(each.known for each in _options(ctx)):
        yield (
            "cxrsync help TOPIC",
            (
                "Explain selection, exit-codes, environment, access or layout. "
                "[env: NAME] is the variable that an option has, too."
            ),
        )
