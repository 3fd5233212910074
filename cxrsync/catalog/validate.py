"""Check the content of a YAML file against a type with msgspec, and report the first error.

msgspec is typed, strict (text never becomes a number) and imported in 4 ms. Its messages name
neither the key of a mapping nor the line, so this module finds both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from cxrsync.catalog.dataset_info import suggestion
from cxrsync.catalog.yaml_document import ValuePath, YamlDocument
from cxrsync.sanitize import text_of_validation

T = TypeVar("T")

_AT = re.compile(r" - at (?P<key>`key` in )?`\$(?P<path>(?:\.\w+|\[(?:\d+|\.\.\.)\])*)`\Z")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]|\[(\.\.\.)\]")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_EXPECTED = re.compile(r"Expected `(\w+)")
_TYPES = {
    "str": "text (put it in quotes)",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
_MAX_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Words:
    """What error messages need to know about a type.

    fields: the names of all fields. values: the values of the enumeration. pattern: what text with
    a pattern must be. see: where the form of the file is documented.
    """

    fields: Sequence[str]
    values: Sequence[str]
    pattern: str
    see: str


def validated(document: YamlDocument, form: type[T], words: Words) -> T:
    """Return the document's value as ``form``, a type that msgspec supports.

    Raises UsageError for the first value of a wrong type: it names line, column and field, and
    similar names.
    """
    try:
        return msgspec.convert(document.value, form)
    except msgspec.ValidationError:
        path, what = _find(document.value, form, words)
        raise document.error(path, what, words.see) from None


def _find(value: Any, form: Any, words: Words) -> tuple[ValuePath, str]:
    """Return the path of the value that is wrong, and what is wrong with it."""
    text = _mismatch(value, form)
    path, is_whole = _path(value, text)
    while not is_whole:
        value, text = _narrowed(value, form, path)
        path, is_whole = _path(value, text)
    if unknown := _UNKNOWN.match(_AT.sub("", text)):
        return (
            *path,
            unknown[1],
        ), f"there is no such field. {suggestion(unknown[1], words.fields)}"
    at = _AT.search(text)
    wrong = path[-1] if at is not None and at["key"] else _at(value, path)
    return path, f"{_shown(wrong)} {_complaint(text, wrong, words)}"


def _mismatch(value: Any, form: Any) -> str:
    """Return msgspec's message about a value, or "" if the value has the type ``form``."""
    try:
        msgspec.convert(value, form)
    except msgspec.ValidationError as problem:
        return text_of_validation(problem)
    return ""


def _path(value: Any, text: str) -> tuple[ValuePath, bool]:
    """Return the path in a message, and whether it is complete.

    msgspec writes ``[...]`` for any key of a mapping. The key is known only if there is just one.
    """
    at = _AT.search(text)
    steps = [match.groups() for match in _STEP.finditer(at["path"])] if at else []
    if at is not None and at["key"]:
        steps.append((None, None, "..."))
    path: ValuePath = ()
    for field, number, _any in steps:
        below = _at(value, path)
        if field is not None or number is not None:
            path = (*path, field if field is not None else int(number))
        elif len(below) == 1:
            path = (*path, next(iter(below)))
        else:
            return path, False
    return path, True


def _narrowed(value: Any, form: Any, path: ValuePath) -> tuple[Any, str]:
    """Return ``value`` with only a wrong key left in the mapping at ``path``, and the message."""
    mapping = _at(value, path)
    for key in mapping:
        candidate = _replaced(value, path, {key: mapping[key]})
        if text := _mismatch(candidate, form):
            return candidate, text
    raise AssertionError("a mapping is wrong, but none of its keys is")


def _at(value: Any, path: ValuePath) -> Any:
    for step in path:
        value = value[step]
    return value


def _replaced(value: Any, path: ValuePath, new: Any) -> Any:
    """Return a copy of ``value`` with ``new`` at ``path``."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copy


def _complaint(text: str, wrong: Any, words: Words) -> str:
    if text.startswith("Invalid enum value"):
        return f"is not valid. {suggestion(str(wrong), words.values)}"
    if "matching regex" in text:
        return f"is not {words.pattern}"
    if "` >= " in text or "` > " in text:
        return "is too small"
    if "` <= " in text or "` < " in text:
        return "is too large"
    expected = _EXPECTED.match(text)
    return f"is not {_TYPES.get(expected[1], 'accepted') if expected else 'accepted'}"


def _shown(value: Any) -> str:
    """Return a value as the user wrote it, shortened."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    shown = repr(value)
    return shown if len(shown) <= _MAX_SHOWN else shown[: _MAX_SHOWN - 1] + "…"
