"""The permissions of a tree that a group reads: ``files=0440,folders=2750,group=cxr-jpg``.

The group may read and never write: cxrsync alone changes a tree, and its locks and partials are for
their owner only. Others get nothing, because the data use agreement gives rights to persons.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cxrsync.errors import UsageError

_FILES, _FOLDERS, _GROUP = "files", "folders", "group"
PERMISSION_KEYS = (_FILES, _FOLDERS, _GROUP)
_FORM = (
    "Write it as files=0440,folders=2750,group=NAME; in a job file as "
    '{files: "0440", folders: "2750", group: NAME}.'
)
_MODE = re.compile(r"0?[0-7]{3}|0?[1-7][0-7]{3}", re.ASCII)
_MAX_NAME = 256
_SETGID = 0o2000
_OTHERS = 0o007
_GROUP_WRITES = 0o020
GROUP_BITS = 0o070
_FILE_MODES = (0o400, 0o440, 0o600, 0o640)
_FOLDER_MODES = (0o700, 0o750, 0o2700, 0o2750)


@dataclass(frozen=True, slots=True)
class Permissions:
    """The mode of files, the mode of folders, and the name of the group (None: not changed)."""

    files: int
    folders: int
    group: str | None = None

    def __str__(self) -> str:
        parts = [f"{_FILES}={self.files:04o}", f"{_FOLDERS}={self.folders:04o}"]
        return ",".join(parts if self.group is None else [*parts, f"{_GROUP}={self.group}"])

    def as_json(self) -> dict[str, str]:
        """Return the keys of a job file with their values."""
        return dict(part.split("=", 1) for part in str(self).split(","))


def parse_permissions(value: object, label: str = "--permissions") -> Permissions:
    """Return the permissions of a text or a mapping. ``label``: the option's name, for messages.

    Raises UsageError: for a mode that gives others anything, or the group more than reading.
    """
    if isinstance(value, Permissions):
        return value
    fields = _fields(value, label)
    if unknown := [key for key in fields if key not in PERMISSION_KEYS]:
        raise UsageError(f"{label}: there is no {str(unknown[0])!r} in it", next_step=_FORM)
    group = _group(fields.get(_GROUP), label)
    files = _mode(fields.get(_FILES, "0440"), f"{label}: {_FILES}", _FILE_MODES)
    default = "2750" if files & GROUP_BITS else "0700"
    folders = _mode(fields.get(_FOLDERS, default), f"{label}: {_FOLDERS}", _FOLDER_MODES)
    if bool(files & GROUP_BITS) != bool(folders & GROUP_BITS):
        raise UsageError(
            f"{label}: files {files:04o} and folders {folders:04o} do not agree: the group needs "
            "both to read a file",
            next_step="Write 0440 and 2750 for a group that reads, or 0600 and 0700.",
        )
    if files & GROUP_BITS and group is None:
        raise UsageError(
            f"{label} lets a group read, and names none", next_step=f"Add the group. {_FORM}"
        )
    return Permissions(files, folders, group)


def _fields(value: object, label: str) -> Mapping[str, object]:
    if isinstance(value, Mapping) and value:
        return value
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{label} is neither text nor keys with values", next_step=_FORM)
    fields: dict[str, object] = {}
    for part in value.split(","):
        key, equals, text = (each.strip() for each in part.partition("="))
        if not equals or key in fields:
            what = "is there twice" if key in fields else "has no value"
            raise UsageError(f"{label}: {key!r} {what}", next_step=_FORM)
        fields[key] = text
    return fields


def _group(value: object, label: str) -> str | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        raise UsageError(f"{label}: {_GROUP} is a number", next_step=f'Write "{value}", in quotes.')
    if not isinstance(value, str):
        raise UsageError(f"{label}: {_GROUP} is not text", next_step=_FORM)
    is_plain = value.isprintable() and not any(each.isspace() or each in ",=:" for each in value)
    if not value or not is_plain or len(value) > _MAX_NAME:
        raise UsageError(f"{label}: {value!r} is not the name of a group", next_step=_FORM)
    return value


def _mode(value: object, label: str, allowed: tuple[int, ...]) -> int:
    """Return the mode of a text of octal digits. Raises UsageError unless it is one of ``allowed``,
    or one of them without the permissions that only the owner needs."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise UsageError(
            f"{label} is a number, and a mode is text: octal digits",
            next_step=f'Write "{_meant(value, allowed)}", in quotes.',
        )
    if not isinstance(value, str) or not _MODE.fullmatch(value):
        shown = repr(value) if isinstance(value, str) else type(value).__name__
        raise UsageError(f"{label}: {shown} is not a mode in octal digits", next_step=_FORM)
    mode = int(value, 8)
    if mode in allowed:
        return mode
    choices = ", ".join(f"{each:04o}" for each in allowed)
    if mode & _OTHERS:
        raise UsageError(
            f"{label}: {mode:04o} gives other users of the machine access",
            next_step="The data use agreement gives rights to persons, each with a signature of "
            f"their own: share a mirror with a group. Possible are {choices}.",
        )
    if mode & _GROUP_WRITES:
        raise UsageError(
            f"{label}: {mode:04o} lets the group write",
            next_step=f"Only cxrsync changes a mirror. Possible are {choices}.",
        )
    raise UsageError(f"{label} cannot be {mode:04o}", next_step=f"Possible are {choices}.")


def _meant(number: int, allowed: tuple[int, ...]) -> str:
    """Return the mode that somebody means by a number: 440, or 288, as which YAML 1.1 reads 0440,
    and Python 0o440."""
    if number in allowed:
        return f"{number:04o}"
    digits = str(number)
    return digits.zfill(4) if _MODE.fullmatch(digits) else f"{allowed[1]:04o}"
