"""Reads a list of ids in the form that people have: pieces of UTF-8 in, ids and line numbers out.

A list is one id or path a line, a table (CSV or TSV) with a column for it, or JSON: a list, lists
by split as in R2Gen's ``annotation.json``, one object a line. Pure. No text of the list is kept:
it may hold a report.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from cxrsync.config.id_forms import FORMS, PATH_COLUMNS, Form, other_form
from cxrsync.config.json_list import json_words
from cxrsync.config.path_list import no_paths

_ROWS = 8192
_MAX_LINE = 1 << 20
_MAX_LISTED = 5
_MAX_COMPARED = 1000
# Five digits in a row: the line holds values, not the names of columns.
_VALUE = re.compile(r"[0-9]{5}")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_DIGEST = re.compile(r"^[0-9a-f]{64} [ *]?")
_SEPARATORS = re.compile(r"[,;\s]+")
_MAX_MAGIC = 8
_BINARY = {
    b"PK": "a zip archive or an Excel workbook",
    b"PAR1": "a Parquet file",
    b"\x93NUMPY": "a NumPy file",
    b"BZh": "packed by bzip2",
    b"\xfd7zXZ": "packed by xz",
    b"(\xb5/\xfd": "packed by zstd",
    b"%PDF": "a PDF",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
}


@dataclass(slots=True)
class IdList:
    """The ids of a list, and how much of it was not understood.

    ids: in the order of the list, each once. lines: how many hold something.
    not_understood, first: how many of them hold no id, and the numbers of the first.
    unit: what is counted. others: the sorts of id that they hold instead, by name.
    problem: why the whole is no list of such ids.
    """

    ids: dict[str, None] = field(default_factory=dict)
    lines: int = 0
    not_understood: int = 0
    first: list[int] = field(default_factory=list)
    unit: str = "line"
    others: set[str] = field(default_factory=set)
    problem: str = ""

    def reject(self, number: int, word: str, form: Form) -> None:
        """Count a line that holds no id of the form."""
        self.not_understood += 1
        if len(self.first) < _MAX_LISTED:
            self.first.append(number)
        if self.not_understood <= _MAX_COMPARED and (other := other_form(word, form)) is not None:
            self.others.add(other.name)


def read_id_list(pieces: Iterable[bytes], form: Form) -> IdList:
    """Return the ids of a list. ``pieces``: its bytes as UTF-8, in pieces of any size."""
    pieces = iter(pieces)
    head = _head(pieces)
    found = IdList()
    for magic, what in _BINARY.items():
        if head.startswith(magic):
            found.problem = f"it is {what}, not text"
            return found
    if head.lstrip()[:1] in (b"[", b"{"):
        found.unit = "entry"
        words = json_words(b"".join(chain([head], pieces)), (*form.columns, *PATH_COLUMNS))
        if words is None:
            found.problem = "its JSON is damaged, or is neither a list nor lists by split"
        while words is not None and (batch := list(islice(words, _ROWS))):
            _read_column(batch, 0, form, found)
        return found
    texts = _texts(chain([head], pieces))
    _read_lines(texts, form, found)
    return found


def path_words(pieces: Iterable[bytes]) -> tuple[list[str], str, list[str]]:
    """Return the paths or globs of a list, each once; why the whole is no such list; and the sorts
    of id that it holds instead, by name. Nothing of a list that is refused is shown.

    It has one path a line, alone or behind a digest as ``sha256sum`` writes it, or it is a table
    with a column for it, or JSON.
    """
    pieces = iter(pieces)
    head = _head(pieces)
    for magic, what in _BINARY.items():
        if head.startswith(magic):
            return [], f"it is {what}, not text", []
    found: Iterator[str]
    if head.lstrip()[:1] in (b"[", b"{"):
        entries = json_words(b"".join(chain([head], pieces)), PATH_COLUMNS)
        if entries is None:
            return [], "its JSON is damaged, or is neither a list nor lists by split", []
        found = (word for _number, word in entries)
    else:
        found = _path_lines(_texts(chain([head], pieces)))
    try:
        words = list(dict.fromkeys(word.strip() for word in found if word.strip()))
    except csv.Error:
        return [], "it is not valid CSV", []
    return (words, *no_paths(words))


def _path_lines(texts: Iterable[str]) -> Iterator[str]:
    lines = (line for text in texts for line in text.splitlines())
    kept = (line for line in lines if line.strip() and not line.startswith("#"))
    first = next(kept, "")
    header = Header.of(first)
    position = header.position(PATH_COLUMNS)
    if position is None:
        return (_DIGEST.sub("", line) for line in chain([first], kept))
    rows = csv.reader(kept, delimiter=header.delimiter)
    return (row[position] for row in rows if position < len(row))


def first_line(pieces: Iterable[bytes]) -> Header:
    """Return the first line of a list that holds something; without values if there is none."""
    for text in _texts(chain([_head(pieces := iter(pieces))], pieces)):
        for line in text.splitlines():
            if line.strip() and not line.startswith("#"):
                return Header.of(line)
    return Header((), ",")


def _head(pieces: Iterator[bytes]) -> bytes:
    """Return the first pieces: enough to tell what the list is."""
    head = b""
    while len(head.lstrip()) < _MAX_MAGIC and len(head) < _MAX_LINE and (more := next(pieces, b"")):
        head += more
    return head


def _texts(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yield texts of many whole lines, which end with a newline only."""
    rest = b""
    for piece in pieces:
        data = rest + piece
        end = data.rfind(b"\n") + 1 or data.rfind(b"\r", 0, -1) + 1
        if not end and len(data) > _MAX_LINE:
            end = len(data)
        rest = data[end:]
        if end:
            yield _text(data[:end])
    if rest:
        yield _text(rest)


def _text(data: bytes) -> str:
    # What is not UTF-8 is no part of an id: such a line is counted as any other without one.
    text = data.decode("utf-8", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


# ── lines ──────────────────────────────────────────────────────────────────────────────────────


def _read_lines(texts: Iterator[str], form: Form, found: IdList) -> None:
    number = 0
    for text in texts:
        at = 0
        for line in text.splitlines(keepends=True):
            if line.strip() and not line.lstrip().startswith("#"):
                rest = chain([text[at:]], texts)
                _read_from(Header.of(line), rest, number, form, found)
                return
            at += len(line)
            number += 1


@dataclass(frozen=True, slots=True)
class Header:
    """The first line with something in it: its values, and what separates them."""

    values: tuple[str, ...]
    delimiter: str

    @classmethod
    def of(cls, line: str) -> Header:
        delimiter = next((each for each in ("\t", ",", ";", "|") if each in line), ",")
        try:
            values = next(csv.reader([line], delimiter=delimiter), [])
        except csv.Error:
            values = [line]
        return cls(tuple(value.strip() for value in values), delimiter)

    def position(self, columns: Sequence[str]) -> int | None:
        """Return the place of the first of these columns that is there."""
        names = [name.casefold().replace(" ", "_") for name in self.values]
        for wanted in columns:
            for name in (wanted, wanted.replace("_", "")):
                if name in names:
                    return names.index(name)
        return None

    @property
    def is_of_names(self) -> bool:
        return not any(_VALUE.search(value) for value in self.values)

    def other_columns(self) -> list[str]:
        """Return the columns with ids of any sort."""
        return [
            form.columns[0]
            for form in FORMS
            if any(name.casefold() in form.columns for name in self.values)
        ]


def _read_from(
    header: Header, texts: Iterator[str], number: int, form: Form, found: IdList
) -> None:
    """Read the lines from the header on, of which ``number`` lines are before it."""
    position = header.position((*form.columns, *PATH_COLUMNS))
    is_of_names = header.is_of_names and not _are_all_ids(header.values, form)
    if position is not None and is_of_names:
        _read_table(texts, header.delimiter, position, number, form, found)
    elif is_of_names and (len(header.values) > 1 or header.other_columns()):
        others = header.other_columns()
        has = f"; it has {' and '.join(others)}" if others else ""
        found.problem = f"its first line names no column {form.columns[0]}{has}"
        found.others = {form.name for form in FORMS if form.columns[0] in others}
    else:
        _read_plain(texts, number, form, found, skip=is_of_names)


def _are_all_ids(values: Sequence[str], form: Form) -> bool:
    return all(form.parse(value) is not None for value in values)


def _read_plain(
    texts: Iterator[str], number: int, form: Form, found: IdList, *, skip: bool
) -> None:
    """Read ids, one or more a line. ``skip``: the first line seems to name a column."""
    name = ""
    for text in texts:
        if skip:
            name, _, text = text.partition("\n")
            number += 1
            skip = False
        if text and (ids := form.parse_lines(text)) is not None:
            found.ids.update(dict.fromkeys(ids))
            found.lines += len(ids)
        elif text:
            _read_each(text, number, form, found)
        number += text.count("\n")
    if name and not found.lines:
        _read_each(name, number - 1, form, found)  # it is all there is


def _read_each(text: str, number: int, form: Form, found: IdList) -> None:
    for line in text.split("\n"):
        number += 1
        line = _COMMENT.sub("", line).strip() if "#" in line else line.strip()
        if not line:
            continue
        found.lines += 1
        ids = _ids_of_line(line, form)
        if ids:
            found.ids.update(dict.fromkeys(ids))
        else:
            found.reject(number, line, form)


def _ids_of_line(line: str, form: Form) -> list[str]:
    """Return the ids of a line with one id, or with several; [] if anything else is in it."""
    if (one := form.parse(line)) is not None:
        return [one]
    words = [word for word in _SEPARATORS.split(line) if word.strip("\"'")]
    ids = [each for word in words if (each := form.parse(word)) is not None]
    # Numbers that begin with 1 and with 5 are a subject and a study: a row of a table.
    is_mixed = form.prefix and len({each[1] for each in ids}) > 1
    return ids if len(ids) == len(words) and not is_mixed else []


# ── tables ─────────────────────────────────────────────────────────────────────────────────────


def _read_table(
    texts: Iterator[str], delimiter: str, position: int, number: int, form: Form, found: IdList
) -> None:
    """Read a column of a table, whose header is the first line of ``texts``."""
    lines = chain.from_iterable(io.StringIO(_without_comments(text), newline="") for text in texts)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        next(reader)
        while rows := [
            (reader.line_num, row[position] if position < len(row) else " ".join(row))
            for row in islice(reader, _ROWS)
        ]:
            _read_column(rows, number, form, found)
    except csv.Error:
        found.problem = (
            f"line {number + reader.line_num} is not valid CSV: a misplaced or unclosed quote, or "
            f"more than {csv.field_size_limit():,} characters"
        )


def _without_comments(text: str) -> str:
    if "#" not in text:
        return text
    return re.sub(r"^#.*", "", text, flags=re.MULTILINE)


def _read_column(rows: list[tuple[int, str]], number: int, form: Form, found: IdList) -> None:
    ids = form.parse_lines("\n".join([value for _line, value in rows]))
    if ids is not None and len(ids) == len(rows):
        found.ids.update(dict.fromkeys(ids))
        found.lines += len(ids)
        return
    for line, value in rows:
        _read_value(number + line, value, form, found)


def _read_value(number: int, value: str, form: Form, found: IdList) -> None:
    if not value.strip():
        return
    found.lines += 1
    if (known := form.parse(value)) is not None:
        found.ids[known] = None
    else:
        found.reject(number, value, form)
