"""Check what a YAML file holds against a type, by msgspec, and say in our words what is wrong.

msgspec was taken because it is typed, strict (no text becomes a number) and imported in 4 ms. Its
messages name neither the key of a mapping nor the line, so both are looked up here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from cxrsync.catalog.dataset_info import suggest
from cxrsync.catalog.yaml_file import ValuePath, YamlDocument
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
    """What messages need to know of a form: the fields that there are, the values of an
    enumeration, what a text with a pattern is called, and where the form is shown."""

    fields: Sequence[str]
    values: Sequence[str]
    pattern: str
    see: str


def validated(document: YamlDocument, form: type[T], words: Words) -> T:
    """The document as ``form``, a type that msgspec knows.

    Raises UsageError, which names the place, the field and what is near, for the first value that
    does not have it.
    """
    try:
        return msgspec.convert(document.value, form)
    except msgspec.ValidationError:
        path, what = _find(document.value, form, words)
        raise document.error(path, what, words.see) from None


def _find(value: Any, form: Any, words: Words) -> tuple[ValuePath, str]:
    """Which value is wrong, and how."""
    text = _mismatch(value, form)
    path, is_whole = _path(value, text)
    while not is_whole:
        value, text = _narrowed(value, form, path)
        path, is_whole = _path(value, text)
    if unknown := _UNKNOWN.match(_AT.sub("", text)):
        return (*path, unknown[1]), f"no such field; near: {suggest(unknown[1], words.fields)}"
    at = _AT.search(text)
    wrong = path[-1] if at is not None and at["key"] else _at(value, path)
    return path, f"{_shown(wrong)} {_complaint(text, wrong, words)}"


def _mismatch(value: Any, form: Any) -> str:
    """msgspec's words for what is wrong with a value; "" for nothing."""
    try:
        msgspec.convert(value, form)
    except msgspec.ValidationError as problem:
        return text_of_validation(problem)
    return ""


def _path(value: Any, text: str) -> tuple[ValuePath, bool]:
    """Where in ``value`` a mismatch is, and whether that is all of the way: msgspec writes
    ``[...]`` for every key of a mapping, which is clear only where there is one."""
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
    """``value`` with but one key in the mapping at ``path``: the first that is wrong by itself; and
    what is wrong with it."""
    mapping = _at(value, path)
    for key in mapping:
        candidate = _replaced(value, path, {key: mapping[key]})
        if text := _mismatch(candidate, form):
            return candidate, text
    raise AssertionError("a mapping is wrong, and each of its keys is right")


def _at(value: Any, path: ValuePath) -> Any:
    for step in path:
        value = value[step]
    return value


def _replaced(value: Any, path: ValuePath, new: Any) -> Any:
    """A copy of ``value`` with something else at ``path``."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copy


def _complaint(text: str, wrong: Any, words: Words) -> str:
    if text.startswith("Invalid enum value"):
        return f"is not known; near: {suggest(str(wrong), words.values)}"
    if "matching regex" in text:
        return f"is not {words.pattern}"
    if "` >= " in text or "` > " in text:
        return "is too small"
    if "` <= " in text or "` < " in text:
        return "is too large"
    expected = _EXPECTED.match(text)
    return f"is not {_TYPES.get(expected[1], 'accepted') if expected else 'accepted'}"


def _shown(value: Any) -> str:
    """A value as a person wrote it, cut short."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    shown = repr(value)
    return shown if len(shown) <= _MAX_SHOWN else shown[: _MAX_SHOWN - 1] + "…"
