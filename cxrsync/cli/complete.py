"""Complete a command line: which words may stand at the cursor. click finds the parameter."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress

import click
from click.shell_completion import ShellComplete

from cxrsync.cli.shells import COMPLETE_VARIABLE, SCRIPTS, Candidate, TypedLine, answer, read_line


def answered(program: click.Command, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the lines for the shell that asks. An error completes nothing: the command itself
    says what is wrong."""
    shell = environ.get(COMPLETE_VARIABLE, "")
    typed = read_line(environ.get("COMP_LINE", ""))
    if shell not in SCRIPTS or not typed.words:
        return []
    with suppress(Exception):
        return list(answer(shell, typed, list(_candidates(program, typed)), environ))
    return []


def _candidates(program: click.Command, typed: TypedLine) -> Iterable[Candidate]:
    words = [word for word in typed.words if not _is_assignment(word)]
    completer = ShellComplete(program, {}, "cxrsync", COMPLETE_VARIABLE)
    for each in completer.get_completions(words[1:], typed.last):
        yield Candidate(each.type, str(each.value), each.help or "")


def _is_assignment(word: str) -> bool:
    """Return whether a word before the command is ``NAME=VALUE``. One behind it is a value, as
    ``Pneumonia=1``, and follows its option."""
    name, sign, _ = word.partition("=")
    return bool(sign) and name.isidentifier() and name.isupper()
