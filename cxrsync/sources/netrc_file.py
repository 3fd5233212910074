"""Parse a netrc file, entry by entry. Pure.

Python's own parser gives up the whole file at the first word that it does not know, also in the
entry of another host, and its messages quote the file. Here an error belongs to the entry in which
it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

_KEYS = {"login": "login", "user": "login", "password": "password", "account": "account"}
_BEGINS = {"machine", "default", "macdef"}
# A word in quotes, with escapes, as Python and curl have it; or one without blanks.
_WORD = re.compile(r'"(?P<quoted>(?:[^"\\]|\\.)*)"?|(?P<bare>(?:[^\s\\]|\\.)+|\\)', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class NetrcProblem(NamedTuple):
    """What is wrong in a line. The text quotes nothing of the file."""

    line: int
    what: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.what}"


@dataclass(slots=True)
class NetrcEntry:
    """One entry. ``host``: None for ``default``."""

    host: str | None
    line: int
    values: dict[str, str] = field(default_factory=dict)
    problem: NetrcProblem | None = None

    @property
    def login(self) -> str:
        return self.values.get("login", "")

    @property
    def password(self) -> str:
        return self.values.get("password", "")


def parse_netrc(text: str) -> tuple[list[NetrcEntry], list[NetrcProblem]]:
    """Return the entries, and what is wrong outside of any entry."""
    entries: list[NetrcEntry] = []
    stray: list[NetrcProblem] = []

    def report(line: int, what: str) -> None:
        if not entries:
            stray.append(NetrcProblem(line, what))
        elif entries[-1].problem is None:
            entries[-1].problem = NetrcProblem(line, what)

    words = _words(text.removeprefix("\ufeff"))
    for line, word in words:
        if word == "machine":
            _line, host = next(words, (line, ""))
            entries.append(NetrcEntry(host, line))
            if not host or host in _BEGINS:
                report(line, "'machine' without the name of a host")
        elif word == "default":
            entries.append(NetrcEntry(None, line))
        elif word in _KEYS:
            _line, value = next(words, (line, None))
            if value is None:
                report(line, f"'{word}' without a value")
            elif entries:
                entries[-1].values.setdefault(_KEYS[word], value)
            else:
                report(line, f"'{word}' before any 'machine'")
        else:
            report(
                line,
                "an unknown word where 'login' or 'password' is expected (a password with blanks "
                "needs double quotes)"
                if entries
                else "an unknown word before any 'machine'",
            )
    return entries, stray


def _words(text: str) -> Iterator[tuple[int, str]]:
    """Yield the words with their lines, without comments and macros."""
    in_macro = False
    is_value = False
    for number, line in enumerate(text.split("\n"), start=1):
        if in_macro:
            in_macro = bool(line.strip())
            continue
        at = 0
        while (found := _WORD.search(line, at)) is not None:
            at = found.end()
            quoted = found["quoted"]
            word = _ESCAPE.sub(r"\1", quoted if quoted is not None else found["bare"])
            if not is_value and quoted is None and word.startswith("#"):
                break  # but a password may begin so
            if not is_value and word == "macdef":
                in_macro = True
                break
            yield number, word
            is_value = not is_value and quoted is None and word in {"machine", *_KEYS}
