"""Ids of subjects, studies and images: as arguments, or one a line in a file."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from cxrsync.errors import UsageError
from cxrsync.sanitize import reason_of

_MAX_NAMED = 5


class Form(NamedTuple):
    """How one sort of id is written. ``prefix`` may be left out by whoever types it."""

    name: str
    pattern: re.Pattern[str]
    prefix: str
    example: str


SUBJECT = Form("subject", re.compile(r"p?([0-9]{8})"), "p", "p10000032 or 10000032")
STUDY = Form("study", re.compile(r"s?([0-9]{8})"), "s", "s50414267 or 50414267")
IMAGE = Form(
    "image",
    re.compile(r"(?:.*/)?([0-9a-f]{8}(?:-[0-9a-f]{8}){4})(?:\.dcm|\.jpg)?"),
    "",
    "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014",
)


def parse_ids(values: Iterable[str], form: Form) -> tuple[str, ...]:
    """Arguments → ids as paths bear them, in order, each once.

    An argument is an id, or ``@FILE`` with one a line (``@-``: standard input). Raises UsageError,
    naming the lines that are none.
    """
    found: set[str] = set()
    for value in values:
        if value.startswith("@"):
            found.update(_read_ids(value[1:], form))
            continue
        for word in [word for word in value.split(",") if word.strip()] or [value]:
            known = _parse(word, form)
            if known is None:
                raise UsageError(
                    f"--{form.name} {word!r} is not the id of {_a(form)}",
                    next_step=f"It looks like {form.example}; @FILE reads them from a file, "
                    "one a line.",
                )
            found.add(known)
    return tuple(sorted(found))


def _parse(word: str, form: Form) -> str | None:
    match = form.pattern.fullmatch(word.strip().lower())
    return form.prefix + match[1] if match else None


def _read_ids(name: str, form: Form) -> set[str]:
    option = f"--{form.name} @{name}"
    found: set[str] = set()
    junk: list[tuple[int, str]] = []
    for number, line in enumerate(_lines(name, option), start=1):
        if not line.strip():
            continue
        known = _parse(line, form)
        if known is not None:
            found.add(known)
        else:
            junk.append((number, line.strip()))
    if junk:
        named = ", ".join(f"line {number} ({line[:40]!r})" for number, line in junk[:_MAX_NAMED])
        more = f" and {len(junk) - _MAX_NAMED:,} more" if len(junk) > _MAX_NAMED else ""
        raise UsageError(
            f"{option}: not the id of {_a(form)}: {named}{more}",
            next_step=f"One id a line, and nothing else: {form.example}.",
        )
    if not found:
        # An empty list is a script that went wrong, not a wish for everything.
        raise UsageError(f"{option}: there is no id in it")
    return found


def _lines(name: str, option: str) -> Iterator[str]:
    try:
        if name == "-":
            yield from sys.stdin
        else:
            with Path(name).expanduser().open(encoding="utf-8-sig") as file:
                yield from file
    except UnicodeDecodeError:
        raise UsageError(f"{option}: not a text in UTF-8") from None
    except ValueError:  # a NUL, or half a character
        raise UsageError(f"{option}: not the name of a file") from None
    except (OSError, RuntimeError) as problem:
        raise UsageError(f"{option}: cannot be read: {reason_of(problem)}") from None


def _a(form: Form) -> str:
    return f"an {form.name}" if form is IMAGE else f"a {form.name}"
