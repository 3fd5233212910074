"""Add an entry to the text of a netrc file, or take one out; all else stays as it is. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cxrsync.sources.netrc_file import NetrcEntry, NetrcWord, parse_netrc

# A word that every reader of netrc takes as it is: Python, curl and wget.
_PLAIN = re.compile(r"[A-Za-z0-9!$%&()*+,./:;<=>?@^_{|}~-]+")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_TO_ESCAPE = re.compile(r'(["\\])')


def with_entry(text: str, host: str, login: str, password: str) -> str:
    """Return ``text`` with an entry for ``host`` that readers take before all others of that host.

    It replaces the entry of the same user; that of another user is kept behind it. Raises
    ValueError for a name or a password that no netrc file can hold.
    """
    if not all(each and each.isprintable() for each in (host, login, password)):
        raise ValueError("an empty word, or one with control characters")
    text = without_entry(text, host, login)
    entry = f"machine {_word(host)} login {_word(login)} password {_word(password)}"
    newline = "\r\n" if "\r\n" in text else "\n"
    entries, _stray = parse_netrc(text)
    of_host = [each for each in entries if _is_of(each, host)]
    # An entry behind `default` is not read by all programs.
    later = of_host or [each for each in entries if each.host is None]
    at = later[0].words[0].start if later else len(text)
    before, after = text[:at], text[at:]
    if before and not before.endswith("\n"):
        before += newline
    if not later and "macdef" in before and before.rstrip(" \t\r\n") + newline * 2 != before:
        before += newline  # only an empty line ends a macro
    changed = before + entry + newline + after
    if not _is_read(changed, host, login, password):
        raise ValueError("an entry that cannot be read back")
    return changed


def without_entry(text: str, host: str, login: str | None = None) -> str:
    """Return ``text`` without the entries for ``host``; with ``login``, only those of this user,
    and those without a user."""
    entries, _stray = parse_netrc(text)
    gone = [
        each
        for each in entries
        if _is_of(each, host) and (login is None or each.login in {login, ""})
    ]
    return _without_words(text, [word for each in gone for word in each.words])


def logins_for(text: str, host: str) -> list[str]:
    """Return the users of the entries for ``host``."""
    entries, _stray = parse_netrc(text)
    return [each.login for each in entries if _is_of(each, host)]


def _is_of(entry: NetrcEntry, host: str) -> bool:
    return entry.host is not None and entry.host.lower() == host.lower()


def _is_read(text: str, host: str, login: str, password: str) -> bool:
    entries, _stray = parse_netrc(text)
    first = next((each for each in entries if _is_of(each, host)), None)
    return (
        first is not None
        and first.problem is None
        and (first.login, first.password) == (login, password)
    )


def _word(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    escaped = _TO_ESCAPE.sub(r"\\\1", text)
    return f'"{escaped}"'


def _without_words(text: str, words: Iterable[NetrcWord]) -> str:
    """Return ``text`` without these words. A line that has nothing else goes, too."""
    gone: dict[int, list[tuple[int, int]]] = {}
    for word in words:
        gone.setdefault(word.line, []).append((word.start, word.end))
    kept = []
    offset = 0
    for number, line in enumerate(_LINE.findall(text), start=1):
        kept.append(_without_spans(line, offset, gone.get(number, [])))
        offset += len(line)
    return "".join(kept)


def _without_spans(line: str, offset: int, spans: list[tuple[int, int]]) -> str:
    if not spans:
        return line
    rest = line
    for start, end in sorted(spans, reverse=True):
        rest = rest[: start - offset] + rest[end - offset :].lstrip(" \t")
    return rest if rest.strip() else ""
