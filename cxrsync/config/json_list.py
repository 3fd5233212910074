"""Reads a list in JSON: a list of values or of objects, lists by split, one object a line. Pure.

Lists by split are those of R2Gen's ``annotation.json``; pandas writes columns by their index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import msgspec

_Value = str | int | float | None
# The part of a file that shows which fields its objects have.
_HEAD = 1 << 18


def json_words(data: bytes, columns: Sequence[str]) -> Iterator[tuple[int, str]] | None:
    """Return number and text of each entry; None if the data are not such a list.

    Of an object, that is the first of the ``columns`` that it has, or the whole list there.
    """
    names = _present(columns, data[:_HEAD])
    document = _decoded(data, names)
    if document is None:
        return None
    rows = enumerate(_values_in(document, names), start=1)
    return ((number, _as_word(value)) for number, each in rows for value in _listed(each))


def json_splits(
    data: bytes, columns: Sequence[str], split_columns: Sequence[str]
) -> Iterator[tuple[str, str]] | None:
    """Return text and split of each entry; None if the data name no splits.

    They are lists by split, or objects with one of the ``split_columns``.
    """
    names, splits = (_present(each, data[:_HEAD]) for each in (columns, split_columns))
    document = _decoded(data, [*names, *splits])
    if isinstance(document, dict):
        return (
            (_as_word(value), split)
            for split, each in document.items()
            if isinstance(each, list)
            for entry in _values_in(each, names)
            for value in _listed(entry)
        )
    if document is None or not splits:
        return None
    return (
        (_as_word(value), str(getattr(row, splits[0])))
        for row in document
        if isinstance(row, msgspec.Struct)
        for entry in _values_in([row], names)
        for value in _listed(entry)
    )


def _present(columns: Sequence[str], head: bytes) -> list[str]:
    """Return the spellings of the columns that occur in the beginning of a file."""
    return [
        name for column in columns for name in _variants(column) if f'"{name}"'.encode() in head
    ]


def _variants(name: str) -> list[str]:
    """Return a name as files spell it: subject_id, subjectId, SubjectId, SubjectID, SUBJECT_ID."""
    first, *others = name.split("_")
    camel = first + "".join(word.capitalize() for word in others)
    capital = camel[:1].upper() + camel[1:]
    ending = [f"{capital[:-2]}ID"] if capital.endswith("Id") else []
    return list(dict.fromkeys([name, camel, capital, *ending, name.upper()]))


def _decoded(data: bytes, names: Sequence[str]) -> Any:
    """Return a list or a dict of lists; None if the data are neither.

    Only the named fields of an object are decoded: a report beside them is not.
    """
    row = msgspec.defstruct("Row", [(name, Any, None) for name in names])
    values: Any = list[_Value | row]  # type: ignore[valid-type]
    by_split = dict[str, values | dict[str, _Value]]  # of pandas: a column by its index
    for kind in (values, by_split):
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            continue
    try:
        return msgspec.json.Decoder(row).decode_lines(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _values_in(document: Any, names: Sequence[str]) -> Iterator[object]:
    """Yield of each entry the value that should be an id: the first of the named fields."""
    if isinstance(document, dict):
        column = next((name for name in names if name in document), None)
        parts = document.values() if column is None else [document[column]]
        items = chain.from_iterable(
            each.values() if isinstance(each, dict) else each for each in parts
        )
    else:
        items = iter(document)
    for item in items:
        if isinstance(item, msgspec.Struct):
            given = (getattr(item, name) for name in names)
            yield next((value for value in given if value is not None), "?")
        else:
            yield item


def _listed(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else (value,)


def _as_word(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    # A value of many lines would be read as many.
    return str(value).replace("\n", " ")
