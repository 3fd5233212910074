"""Ids of subjects, studies and images, from arguments or from files with one id a line."""

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
    """How ids of one sort are written. A user may leave ``prefix`` out."""

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
    """Return the ids as they are written in paths, sorted and without duplicates.

    A value is an id, or several with commas, or ``@FILE`` with one id a line (``@-``: standard
    input). Raises UsageError, which names the invalid lines.
    """
    ids: set[str] = set()
    for value in values:
        if value.startswith("@"):
            ids.update(_read_ids(value[1:], form))
            continue
        for word in [word for word in value.split(",") if word.strip()] or [value]:
            known = _parse(word, form)
            if known is None:
                raise UsageError(
                    f"--{form.name} {word!r} is not the id of {_a(form)}",
                    next_step=f"An id looks like {form.example}. @FILE reads ids from a file, "
                    "one a line.",
                )
            ids.add(known)
    return tuple(sorted(ids))


def _parse(word: str, form: Form) -> str | None:
    match = form.pattern.fullmatch(word.strip().lower())
    return form.prefix + match[1] if match else None


def _read_ids(name: str, form: Form) -> set[str]:
    option = f"--{form.name} @{name}"
    ids: set[str] = set()
    invalid: list[tuple[int, str]] = []
    for number, line in enumerate(_lines(name, option), start=1):
        if not line.strip():
            continue
        known = _parse(line, form)
        if known is not None:
            ids.add(known)
        else:
            invalid.append((number, line.strip()))
    if invalid:
        named = ", ".join(f"line {number} ({line[:40]!r})" for number, line in invalid[:_MAX_NAMED])
        more = f" and {len(invalid) - _MAX_NAMED:,} more" if len(invalid) > _MAX_NAMED else ""
        raise UsageError(
            f"{option}: not the id of {_a(form)}: {named}{more}",
            next_step=f"Each line must hold one id and nothing else: {form.example}.",
        )
    if not ids:
        # An empty list comes from a script that failed. It must not select everything.
        raise UsageError(f"{option}: the file contains no id")
    return ids


def _lines(name: str, option: str) -> Iterator[str]:
    try:
        if name == "-":
            yield from sys.stdin
        else:
            with Path(name).expanduser().open(encoding="utf-8-sig") as file:
                yield from file
    except UnicodeDecodeError:
        raise UsageError(f"{option}: the file is not UTF-8 text") from None
    except ValueError:  # a NUL character, or a lone surrogate
        raise UsageError(f"{option}: this cannot be the name of a file") from None
    except (OSError, RuntimeError) as problem:
        raise UsageError(f"{option}: cannot be read: {reason_of(problem)}") from None


def _a(form: Form) -> str:
    return f"an {form.name}" if form is IMAGE else f"a {form.name}"
