"""Ids of subjects, studies and images, from arguments or from files that list them."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cxrsync.config.id_forms import FORMS, IMAGE, STUDY, SUBJECT, Form, other_form
from cxrsync.config.id_list import IdList, read_id_list
from cxrsync.errors import UsageError
from cxrsync.sanitize import reason_of, shown_word
from cxrsync.utf8_stream import UnreadableStream, utf8_pieces

__all__ = ["IMAGE", "STUDY", "SUBJECT", "Form", "parse_ids"]


def parse_ids(values: Iterable[str], form: Form) -> tuple[str, ...]:
    """Return the ids as they are written in paths, sorted and without duplicates.

    A value is an id, a path or a URL that shows it, several of them with commas, or ``@FILE``
    (``@-``: standard input). Raises UsageError, which names the invalid lines, but never shows
    them: they may be a report's.
    """
    ids: dict[str, None] = {}
    for value in values:
        if value.startswith("@"):
            ids.update(_read_ids(value[1:], form))
            continue
        for word in [word for word in value.split(",") if word.strip()] or [value]:
            known = form.parse(word)
            if known is None:
                raise _invalid_word(word, form)
            ids[known] = None
    return tuple(sorted(ids))


def _invalid_word(word: str, form: Form) -> UsageError:
    other = other_form(word, form)
    step = f"An id looks like {form.example}. @FILE reads ids from a file: one a line, or a table."
    if other is not None:
        step = f"It is the id of {other.described}: use --{other.name}."
    elif os.path.isfile(word):
        step = f"It is a file: write --{form.name} @{word} to read the ids in it."
    return UsageError(
        f"--{form.name} {shown_word(word)!r} is not the id of {form.described}", next_step=step
    )


def _read_ids(name: str, form: Form) -> dict[str, None]:
    option = f"--{form.name} @{name}"
    try:
        with open_list(name, option) as stream:
            found = read_id_list(utf8_pieces(stream), form)
    except UnreadableStream as problem:
        raise UsageError(
            f"{option}: the file is {reason_of(problem)}",
            next_step="Make or fetch it again: it may have arrived only in part.",
        ) from None
    except OSError as problem:
        raise unreadable_list(option, problem) from None
    if found.problem or found.not_understood:
        raise _invalid_list(found, form, option)
    if not found.ids:
        # An empty list comes from a script that failed. It must not select everything.
        raise UsageError(
            f"{option}: the file contains no id",
            next_step="An empty list does not select everything: check what wrote it. "
            f"{_forms(form)}",
        )
    return found.ids


@contextmanager
def open_list(name: str, option: str) -> Iterator[BinaryIO]:
    """Open a file that lists something, or standard input (``-``). Raises UsageError."""
    if name == "-":
        yield _standard_input(option)
        return
    try:
        file = Path(name).expanduser().open("rb")
    except ValueError:  # a NUL character, or a lone surrogate
        raise UsageError(
            f"{option}: this cannot be the name of a file",
            next_step="Write @ and the path of a file, or @- for standard input.",
        ) from None
    except (OSError, RuntimeError) as problem:
        raise unreadable_list(option, problem) from None
    with file:
        yield file


def unreadable_list(option: str, problem: OSError | RuntimeError) -> UsageError:
    """Return the error for a file of a list that cannot be opened or read."""
    step = "Check that you may read the file, and that it is one."
    if isinstance(problem, FileNotFoundError):
        step = "Check the path: it is relative to the working directory if it has no / in front."
    return UsageError(f"{option}: cannot be read: {reason_of(problem)}", next_step=step)


def _forms(form: Form) -> str:
    return (
        f"One id a line ({form.example}), a table with a column {form.columns[0]}, or a JSON list "
        "of ids."
    )


def _standard_input(option: str) -> BinaryIO:
    if sys.stdin is None:
        raise UsageError(
            f"{option}: standard input is closed",
            next_step="Name a file instead of -, or send the list through a pipe.",
        )
    found: BinaryIO | None = getattr(sys.stdin, "buffer", None)
    return io.BytesIO(sys.stdin.read().encode()) if found is None else found


def _invalid_list(found: IdList, form: Form, option: str) -> UsageError:
    """Return the error for a list that holds something else than ids; it shows nothing of it."""
    step = _forms(form)
    if found.problem:
        what = f"{option}: {found.problem}"
    else:
        units = "entries" if found.unit == "entry" else f"{found.unit}s"
        more = found.not_understood - len(found.first)
        numbers = ", ".join(f"{number:,}" for number in found.first)
        numbers += f" and {more:,} more" if more else ""
        verb, named = ("is", found.unit) if found.not_understood == 1 else ("are", units)
        of = f"{found.lines:,} {found.unit if found.lines == 1 else units}"
        what = (
            f"{option}: {found.not_understood:,} of {of} {verb} not the id of {form.described}: "
            f"{named} {numbers}"
        )
    is_other = found.problem or found.not_understood == found.lines
    others = [
        f"--{each.name} {option.split(' ', 1)[1]}" for each in FORMS if each.name in found.others
    ]
    if others and is_other:
        step = f"Did you mean {' or '.join(others)}?"
    return UsageError(what, next_step=step)
