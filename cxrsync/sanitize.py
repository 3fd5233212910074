"""What may be shown of foreign text: of other libraries' exceptions, and of names from outside.

The text of a foreign exception is never shown, logged or stored. aiohttp's quotes the head of an
answer with the session cookie; a parser's quotes the line that it cannot read. Shown instead are
the system's words for an errno, the words of the tables below, and the exception's type.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

_PACKAGE = __name__.partition(".")[0]

# By OpenSSL's number (x509_vfy.h): OpenSSL's own text may quote the certificate.
_CERTIFICATE = {
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    18: "its certificate is signed only by itself",
    19: "its certificate comes from an untrusted authority",
    20: "its certificate comes from no trusted authority",
    21: "its certificate comes from no trusted authority",
    23: "its certificate was revoked",
    62: "its certificate belongs to another host",
    64: "its certificate belongs to another address",
}
_LOOKUP = {
    "EAI_AGAIN": "its name cannot be looked up at the moment",
    "EAI_FAIL": "its name cannot be looked up",
    "EAI_NODATA": "its name is unknown",
    "EAI_NONAME": "its name is unknown",
}
_SQLITE = {
    "SQLITE_BUSY": "it is in use by another program",
    "SQLITE_CANTOPEN": "it cannot be opened",
    "SQLITE_CORRUPT": "it is damaged",
    "SQLITE_FULL": os.strerror(errno.ENOSPC),
    "SQLITE_IOERR": os.strerror(errno.EIO),
    "SQLITE_NOTADB": "it is not a database",
    "SQLITE_PERM": os.strerror(errno.EACCES),
    "SQLITE_READONLY": "it cannot be written to",
}
_CONNECTION = {
    "ServerDisconnectedError": "it was closed before the answer",
    "ClientPayloadError": "it was closed in the middle of the answer",
    "ClientConnectionResetError": "it was closed while the request was sent",
}
_NAME = re.compile(r"[A-Z0-9_]{1,80}")
# p10000032, s50414267, either without its letter, a DICOM id (five groups of eight), a digest. No
# letter or digit stands before the short ones, unless it belongs to an escape: %2Fp10, \x0ap10.
_ID = re.compile(
    r"[ps][0-9]{7,}"
    r"|(?:(?<![0-9a-z])|(?<=%[0-9a-f]{2})|(?<=\\x[0-9a-f]{2})|(?<=\\[nrt]))"
    r"(?:[ps][0-9]{5,}|[15][0-9]{7}(?![0-9a-z]))"
    r"|[0-9a-f]{8}(?:-[0-9a-f]{8})+|[0-9a-f]{32,}",
    re.IGNORECASE,
)


# What may hold a password or a signature: all before the last @ of an address's host, its query and
# its fragment. A Path of an address has one slash after its scheme.
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*:/{1,2}", re.IGNORECASE)
_USER_IN_TEXT = re.compile(r"(?:(?<=://)|(?<=:/)(?!/))[^\s'\"]*@")
_QUERY_IN_TEXT = re.compile(r"([a-z][a-z0-9+.-]*:/{1,2}[^\s?#'\"]+)[?#][^\s'\"]+", re.IGNORECASE)
_USER = re.compile(
    r"(?:(?<=:/)|(?<=//))[^\s/][^\s]*@|^(?![a-z0-9+.-]+:/)[^/\s:@]*:[^\s]*@", re.IGNORECASE
)


def is_address(word: str) -> bool:
    """Return whether a word begins as an address does, also as a path, with one slash."""
    return _ADDRESS.match(word.lstrip()) is not None


def shown_word(word: str) -> str:
    """Return a user's word as a message may show it: of an address without user, password, query
    and fragment. Users paste signed addresses, and messages go to public issues."""
    if is_address(word) or "@" in word:
        word = _USER.sub("…@", word)
        word = re.sub(r"[?#].*", "?…", word, count=1, flags=re.DOTALL)
    return word


def without_secrets(text: str) -> str:
    """Return a message in which no address has a user, a password or a query. Users paste signed
    addresses as values of any option, and a message quotes the value."""
    text = _USER_IN_TEXT.sub("…@", text)
    return _QUERY_IN_TEXT.sub(r"\1?…", text)


def reason_of(problem: BaseException) -> str:
    """Why ``problem`` happened, in words without the text of a foreign exception."""
    words: str | None = None
    if type(problem).__module__.partition(".")[0] == _PACKAGE:
        words = problem.strerror if isinstance(problem, OSError) else str(problem)
    elif isinstance(problem, BaseExceptionGroup):
        words = ", ".join(dict.fromkeys(map(reason_of, problem.exceptions)))
    elif (of_library := _library(problem)) is not None:
        words = of_library(problem)
    elif isinstance(problem, OSError) and (problem.errno or 0) in errno.errorcode:
        words = os.strerror(problem.errno or 0)
    return words or type(problem).__name__


def text_of_validation(problem: Any) -> str:
    """msgspec's words for a value that has not its type. They may quote the file: they are to be
    taken apart, never shown."""
    return str(problem)


def _library(problem: BaseException) -> Callable[[Any], str | None] | None:
    """The function that has words for an exception of a library with its own error numbers.

    Classes are compared by name, so that ``cxrsync --help`` does not load OpenSSL and SQLite.
    """
    for kind in type(problem).__mro__:
        if (known := _LIBRARIES.get((kind.__module__, kind.__name__))) is not None:
            return known
    return None


def _of_certificate(problem: Any) -> str:
    number = getattr(problem, "verify_code", None)
    return _CERTIFICATE.get(number or 0, f"its certificate is not valid (OpenSSL: {number})")


def _of_tls(problem: Any) -> str | None:
    name = getattr(problem, "reason", None)
    return f"TLS: {name}" if isinstance(name, str) and _NAME.fullmatch(name) else None


def _of_lookup(problem: Any) -> str | None:
    import socket

    names = [name for name in _LOOKUP if getattr(socket, name, None) == problem.errno]
    return _LOOKUP[names[0]] if names and problem.errno else None


def _of_sqlite(problem: Any) -> str | None:
    # Only errors that SQLite itself reports have this name.
    name = getattr(problem, "sqlite_errorname", "")
    return next((words for known, words in _SQLITE.items() if name.startswith(known)), name or None)


def _of_connection(problem: Any) -> str | None:
    return _CONNECTION.get(type(problem).__name__)


_LIBRARIES: dict[tuple[str, str], Callable[[Any], str | None]] = {
    ("ssl", "SSLCertVerificationError"): _of_certificate,
    ("ssl", "SSLError"): _of_tls,
    ("socket", "gaierror"): _of_lookup,
    ("socket", "herror"): _of_lookup,
    ("sqlite3", "Error"): _of_sqlite,
    **{("aiohttp.client_exceptions", name): _of_connection for name in _CONNECTION},
}


def printable(text: str) -> str:
    r"""``text`` with every invisible character escaped.

    These are control bytes that move a terminal's cursor, marks that change the direction of
    writing, and newlines that forge lines.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def without_ids(text: str) -> str:
    """``text`` with "…" in place of whatever looks like the id of a subject, a study or an image,
    or like a digest: for what people without access to the data may read, such as the HTML report,
    and the output of --debug, which users paste into public issues."""
    return _ID.sub("…", text)


def _escaped(char: str) -> str:
    number = ord(char)
    if number < 1 << 8:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 1 << 16 else f"\\U{number:08x}"


def trace(problem: BaseException) -> Iterator[str]:
    """The lines of Python's traceback of ``problem``, without the text of foreign exceptions."""
    yield from _trace(problem, set())


def _trace(problem: BaseException, shown: set[int]) -> Iterator[str]:
    import traceback

    shown.add(id(problem))
    before = problem.__cause__
    if before is None and not problem.__suppress_context__:
        before = problem.__context__
    if before is not None and id(before) not in shown:
        yield from _trace(before, shown)
        yield ""
        yield "and then:"
        yield ""
    yield "Traceback (most recent call last):"
    for frame in traceback.format_tb(problem.__traceback__):
        yield from frame.rstrip("\n").split("\n")
    name, why = type(problem).__qualname__, reason_of(problem)
    yield name if why == name else f"{name}: {why}"
    if isinstance(problem, BaseExceptionGroup):
        for each in problem.exceptions:
            if id(each) not in shown:
                yield from (f"  | {line}" for line in _trace(each, shown))
