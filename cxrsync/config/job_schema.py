"""The JSON Schema of job files, from the same tables that the reader uses. For editors.

It says less than the reader, which also knows what a dataset has and which options exclude each
other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cxrsync.config.job import LATEST
from cxrsync.config.job_file import DEFAULTS, JOB_NAME, JOBS, NAME_KEY
from cxrsync.config.job_keys import JOB_KEYS
from cxrsync.config.job_values import PING_FORM
from cxrsync.config.mirror_options import FILE_OPTIONS
from cxrsync.config.option import Option, Type
from cxrsync.config.permissions import PERMISSION_KEYS

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
# Text that contains a variable may become any value.
_VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"}
_AMOUNT = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "minLength": 1}]}
_TEXT = {"type": "string", "minLength": 1}


def job_schema() -> dict[str, Any]:
    """Return the JSON Schema of job files."""
    keys = _properties(JOB_KEYS)
    name = {
        "type": "string",
        "pattern": f"^{JOB_NAME.pattern}$",
        "description": "The name of the job. Default: the dataset.",
    }
    return {
        "$schema": _DRAFT,
        "title": "A job file of cxrsync mirror",
        "type": "object",
        "required": [JOBS],
        "additionalProperties": False,
        "properties": {
            DEFAULTS: {
                "description": "Keys that hold for all jobs. A job's own replace them.",
                "type": "object",
                "additionalProperties": False,
                "properties": keys,
            },
            JOBS: {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {NAME_KEY: name, **keys},
                },
            },
            **_properties(FILE_OPTIONS),
        },
    }


# Any text is a value of these types for the schema, a variable too.
_HOLD_TEXT = {
    *(Type.TEXT, Type.PATH, Type.PLACE, Type.WINDOW, Type.RATE, Type.SIZE),
    *(Type.DURATION, Type.SHARE, Type.HOOK, Type.PING, Type.PERMISSIONS),
}


# What the help of the command line says otherwise.
_IN_A_JOB = {
    "dataset_version": f"The version, in quotes; or {LATEST}, to follow the newest one.",
}


def _properties(options: Iterable[Option]) -> dict[str, Any]:
    return {option.key: _property(option) for option in options}


def _property(option: Option) -> dict[str, Any]:
    forms = [_form(option)]
    if option.repeatable:
        forms.append({"type": "array", "minItems": 1, "items": _form(option)})
    if option.type not in _HOLD_TEXT:
        forms.append(_VARIABLE)
    said: dict[str, Any] = {"description": _IN_A_JOB.get(option.key, option.help_text)}
    if option.default is not None:
        said["default"] = option.default
    return {**said, **(forms[0] if len(forms) == 1 else {"anyOf": forms})}


def _form(option: Option) -> dict[str, Any]:
    """Return the schema of one value."""
    if option.type is Type.FLAG:
        return {"type": "boolean"}
    if option.type is Type.CHOICE:
        return {"enum": list(option.words)}
    if option.type is Type.SIZE:
        return _AMOUNT
    if option.type is Type.RATE:
        times = {"type": "object", "minProperties": 1, "additionalProperties": _AMOUNT}
        return {"anyOf": [*_AMOUNT["anyOf"], times]}
    if option.type is Type.DURATION:
        return {"type": ["string", "number"], "minLength": 1, **_bounds(option)}
    if option.type is Type.SHARE:
        return {"type": ["string", "integer"], "minLength": 1, "minimum": 0}
    if option.type in {Type.IDS, Type.SHARD}:
        return {"type": ["string", "integer"], "minLength": 1}
    if option.type is Type.INT:
        number = _number(option)
        return {"anyOf": [number, {"enum": list(option.words)}]} if option.words else number
    if option.type is Type.HOOK:
        return {"anyOf": [_TEXT, {"type": "array", "minItems": 1, "items": {"type": "string"}}]}
    if option.type is Type.PING:
        return {"type": "string", "pattern": PING_FORM.pattern}
    if option.type is Type.PERMISSIONS:
        keys = dict.fromkeys(PERMISSION_KEYS, _TEXT)
        keyed = {"type": "object", "minProperties": 1, "additionalProperties": False}
        return {"anyOf": [_TEXT, {**keyed, "properties": keys}]}
    return _TEXT


def _number(option: Option) -> dict[str, Any]:
    return {"type": "integer", **_bounds(option)}


def _bounds(option: Option) -> dict[str, float]:
    bounds = {
        "minimum": option.at_least, "exclusiveMinimum": option.above, "maximum": option.at_most,
    }  # fmt: skip
    return {key: each for key, each in bounds.items() if each is not None}
