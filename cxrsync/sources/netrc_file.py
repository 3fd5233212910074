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
_NO_HOST = "'machine' without the name of a host"
_UNKNOWN = (
    "an unknown word where 'login' or 'password' is expected (a password with blanks needs double "
    "quotes)"
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class NetrcProblem(NamedTuple):
    """What is wrong in a line. The text quotes nothing of the file."""

    line: int
    what: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.what}"


class NetrcWord(NamedTuple):
    """A word of the file, without quotes and escapes, and where it stands in the text."""

    line: int
    text: str
    start: int
    end: int


@dataclass(slots=True)
class NetrcEntry:
    """One entry. ``host``: None for ``default``. ``words``: all that belong to it."""

    host: str | None
    line: int
    words: list[NetrcWord] = field(default_factory=list, repr=False)
    values: dict[str, str] = field(default_factory=dict, repr=False)
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

    words = netrc_words(text)
    for each in words:
        line, word, _start, _end = each
        own = [each]
        if word in _BEGINS:  # a macro is no word
            entries.append(NetrcEntry(None, line))
            if word == "machine":
                host = next(words, None)
                own += [] if host is None else [host]
                entries[-1].host = "" if host is None else host.text
                if host is None or not host.text or host.text in _BEGINS:
                    report(line if host is None else host.line, _NO_HOST)
        elif word in _KEYS:
            value = next(words, None)
            own += [] if value is None else [value]
            if value is None:
                report(line, f"'{word}' without a value")
            elif entries:
                entries[-1].values.setdefault(_KEYS[word], value.text)
            else:
                report(line, f"'{word}' before any 'machine'")
        else:
            report(line, _UNKNOWN if entries else "an unknown word before any 'machine'")
        if entries:
            entries[-1].words += own
    return entries, stray


def netrc_words(text: str) -> Iterator[NetrcWord]:
    """Yield the words of a file, without comments and macros."""
    in_macro = False
    is_value = False
    offset = 0
    for number, line in enumerate(text.split("\n"), start=1):
        begin, offset = offset, offset + len(line) + 1
        if in_macro:
            in_macro = bool(line.strip())
            continue
        at = len(line) - len(line.removeprefix("\ufeff")) if number == 1 else 0
        while (found := _WORD.search(line, at)) is not None:
            at = found.end()
            quoted = found["quoted"]
            word = _ESCAPE.sub(r"\1", quoted if quoted is not None else found["bare"])
            if not is_value and quoted is None and word.startswith("#"):
                break  # but a password may begin so
            if not is_value and word == "macdef":
                in_macro = True
                break
            yield NetrcWord(number, word, begin + found.start(), begin + at)
            is_value = not is_value and quoted is None and word in {"machine", *_KEYS}
