"""Parses the lines of SHA256SUMS.txt. Paths that could leave the tree are rejected here, once.

PhysioNet's format: 64 hex digits, one space, the path relative to the version's root. Also accepted
are GNU's two spaces and ``" *"`` (binary mode), ``./`` before a path (as ``find`` writes it), a
byte order mark, and comments (``#``).
"""

from __future__ import annotations

import os
import re
from unicodedata import category

from cxrsync.model import OWN_FOLDER, Entry, RejectedLine

# Longer than any path of a file system. A longer line is not a line of a manifest.
MAX_LINE = 8192
MAX_NAME_BYTES = 255
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
COMMENT = b"#"

# The form of nearly every line. Such a path needs no further check. Nothing is tried twice
# (possessive quantifiers): a manifest has 600,000 lines.
_PLAIN_PATH = r"((?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}+/)*+[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}+)"
_PLAIN = re.compile(rf"([0-9a-f]{{64}}) [ *]?{_PLAIN_PATH}\n?")
# PhysioNet's lines, and GNU's. What a line has besides its path: digest, separator and newline.
_PLAIN_LINES = {
    66: re.compile(rf"([0-9a-f]{{64}}) {_PLAIN_PATH}\n"),
    67: re.compile(rf"([0-9a-f]{{64}}) [ *]{_PLAIN_PATH}\n"),
}
# One flipped bit turns '3' into '#': such a line is not a comment.
_SPOILED = re.compile(rb"#[0-9A-Fa-f]{63} ")
_LINE = re.compile(rb"([0-9A-Fa-f]{64}) [ *]?(.+)", re.DOTALL)


def check_path(path: str) -> str | None:
    """Return why ``path`` is rejected, or None if it stays inside the tree."""
    if path.startswith("/"):
        return "an absolute path"
    if "\\" in path:
        return "a backslash in the path"
    if any(ord(char) < 32 or 127 <= ord(char) < 160 for char in path):
        return "a control character in the path"
    for name in path.split("/"):
        if name in {"", "."}:
            return "an empty name in the path"
        if name == "..":
            return "a path that leaves the tree (..)"
        if _as_disks_see(name) == OWN_FOLDER:
            return f"our own folder ({OWN_FOLDER})"
        if len(name.encode()) > MAX_NAME_BYTES:
            return f"a name of more than {MAX_NAME_BYTES} bytes"
    if not path.isascii() and not _is_written_as_utf8(path):
        return "a name with letters that this locale does not write as UTF-8 (set PYTHONUTF8=1)"
    return None


def _is_written_as_utf8(path: str) -> bool:
    """Return whether a file of this path gets the name that it has at the source."""
    try:
        return os.fsencode(path) == path.encode()
    except UnicodeEncodeError:
        return False


def _as_disks_see(name: str) -> str:
    """Return a name without what some disks ignore in it: upper case (macOS, Windows), characters
    without width (HFS+), blanks and dots at its end (Windows)."""
    seen = name if name.isascii() else "".join(c for c in name if category(c) != "Cf")
    return seen.casefold().rstrip(" .")


def parse_plain(lines: bytes) -> tuple[int, list[tuple[str, str]]] | None:
    """Return digest and path of each of several whole lines, if all of them have the usual form and
    the same separator; and before them how many bytes a line has besides its path. Else None. It
    takes half the time of :func:`parse_line`."""
    if not lines.isascii():
        return None
    text = lines.decode("ascii")
    rest = 67 if text[65:66] in {" ", "*"} else 66
    found = _PLAIN_LINES[rest].findall(text)
    sizes = [rest + len(path) for _digest, path in found]
    # If nothing is left over, each match begins where a line does.
    is_all = sum(sizes) == len(text) and max(sizes, default=0) <= MAX_LINE
    return (rest, found) if is_all else None


def parse_line(line: bytes, number: int) -> Entry | RejectedLine | None:
    """Return the entry of a line (with or without its newline), or why it is rejected, or None for
    a blank line or a comment."""
    if len(line) <= MAX_LINE and line.isascii():
        plain = _PLAIN.fullmatch(line.decode("ascii"))
        if plain is not None:
            return Entry(*plain.group(2, 1))
    return _parse_unusual(line, number)


def _parse_unusual(line: bytes, number: int) -> Entry | RejectedLine | None:
    text = line.removeprefix(BYTE_ORDER_MARK).removesuffix(b"\n").removesuffix(b"\r")
    if _SPOILED.match(text):
        return RejectedLine(number, "a digest of which the first digit is '#'")
    if not text.strip() or text.startswith(COMMENT):
        return None
    if len(text) > MAX_LINE:
        return RejectedLine(number, f"a line of more than {MAX_LINE} bytes")
    match = _LINE.fullmatch(text)
    if match is None:
        return RejectedLine(number, "not a SHA-256 digest, a space and a path")
    try:
        path = match[2].decode("utf-8")
    except UnicodeDecodeError:
        return RejectedLine(number, "a path that is not UTF-8")
    while path.startswith("./"):
        path = path[2:]
    reason = check_path(path)
    if reason is not None:
        return RejectedLine(number, reason)
    return Entry(path, match[1].decode("ascii").lower())
