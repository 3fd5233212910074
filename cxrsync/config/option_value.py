"""Check the value of an option against the type in the option table.

The same rules hold for every interface. Python and job files pass typed values, which are never
converted: ``"3"`` is not a number. The command line and the environment pass text, which
:func:`parse_text` converts.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from cxrsync.config.hook_command import parse_hook_command
from cxrsync.config.near_values import value_advice
from cxrsync.config.option import Option, Type, nearest
from cxrsync.config.option_table import BY_NAME, JOB_OPTIONS
from cxrsync.config.parse_source import FolderPlace, parse_source
from cxrsync.config.permissions import parse_permissions
from cxrsync.config.ping_url import parse_ping_url
from cxrsync.config.python_values import (
    MAX_INT,
    advice,
    id_text,
    index,
    label_texts,
    listed,
    plain,
)
from cxrsync.config.quantities import Share, parse_amount, parse_duration, parse_share
from cxrsync.config.time_window import parse_window
from cxrsync.config.timetable import parse_timetable
from cxrsync.errors import UsageError

TRUE_WORDS = frozenset({"1", "true", "t", "yes", "y", "on"})
FALSE_WORDS = frozenset({"0", "false", "f", "no", "n", "off"})
SIGN_IN_HINT = (
    "A password is never an argument. `cxrsync login` asks for it and stores it; or set "
    "PHYSIONET_PASSWORD or PHYSIONET_PASSWORD_FILE, or use ~/.netrc."
)
# SQLite stores no larger number, and Python prints none of more than 4,300 digits.
_MAX_INT = (1 << 63) - 1
_MAX_SHOWN = 60


class _Wrong(Exception):
    """The value does not have the type of its option. ``next_step``: what to write instead."""

    def __init__(self, next_step: str = "") -> None:
        super().__init__()
        self.next_step = next_step


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a job that are set, with checked values.

    An option that is absent or None is not set. An empty value is an error: it comes from a query
    without results or from an unset variable of a script, and as "no filter" it would fetch the
    whole version. Raises UsageError for a name that is not an option of a job, and for a value that
    is empty or of the wrong type.
    """
    known = {option.name for option in JOB_OPTIONS}
    for name in options:
        if name not in known:
            raise _unknown(str(name))
    return {
        name: check_value(BY_NAME[name], value)
        for name, value in options.items()
        if value is not None
    }


_ANOTHER = "Give such a value, or leave the option out."


def check_value(option: Option, value: object, label: str = "") -> Any:
    """Return ``value`` in the type of ``option``.

    A path becomes a Path, a rate a Timetable, a size a number of bytes, the values of a
    repeatable option a list of texts. ``label`` is the option's name in messages. Raises
    UsageError, which says what to write instead.
    """
    label = label or option.typed
    if option.type is Type.PLACE:
        return _check_places(option, value, label)
    if option.repeatable:
        return _check_texts(option, value, label)
    value = plain(value)
    if isinstance(value, str) and not value.strip():
        raise UsageError(
            f"{label} is empty",
            next_step="Is a variable of your script unset? Give a value, or leave the option out.",
        )
    if option.type in _PARSERS:
        return _PARSERS[option.type](value, label)
    try:
        return _CHECKS[option.type](option, value)
    except _Wrong as wrong:
        raise UsageError(
            f"{label} {_shown(value)} is not {option.form}",
            next_step=wrong.next_step or option.hint or _ANOTHER,
        ) from None


def parse_text(option: Option, text: str, label: str = "") -> Any:
    """Return the value of a text from the command line or the environment.

    A value of a repeatable option is returned unchanged: :func:`check_options` checks all of them
    together. Raises UsageError.
    """
    if option.repeatable:
        return text
    try:
        value = _read(option, text) if text.strip() else text
    except ValueError:
        raise UsageError(
            f"{label or option.typed} {_shown(text)} is not {option.form}",
            next_step=option.hint or _ANOTHER,
        ) from None
    return check_value(option, value, label)


def _read(option: Option, text: str) -> object:
    """Return a text as a typed value. Raises ValueError."""
    if option.type is Type.FLAG:
        folded = text.strip().casefold()
        if folded not in TRUE_WORDS | FALSE_WORDS:
            raise ValueError
        return folded in TRUE_WORDS
    if option.type in _NUMBERS and text.strip().casefold() not in option.words:
        return _NUMBERS[option.type](text)
    return text


# ── one check for each type ────────────────────────────────────────────────────────────────────


def _flag(_option: Option, value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().casefold() if isinstance(value, str) else ""
    if word in TRUE_WORDS | FALSE_WORDS:
        raise _Wrong(f"Write {word in TRUE_WORDS}, without quotes.")
    raise _Wrong("Write True or False.")


def _int(option: Option, value: object) -> int | str:
    if isinstance(value, str):
        if value.strip().casefold() in option.words:
            return value.strip().casefold()
        raise _Wrong(_without_quotes(value, int))
    number = index(value)
    if number is None or abs(number) > MAX_INT or not _is_within(option, number):
        raise _Wrong
    return number


def _size(_option: Option, value: object) -> int:
    amount = parse_amount(value)
    if amount is None:
        raise _Wrong("Write it as 500M, 50G or 1.5T, by powers of 1,024; or a number of bytes.")
    return int(amount)


def _duration(option: Option, value: object) -> float:
    length = value.total_seconds() if isinstance(value, timedelta) else value
    seconds = parse_duration(length)
    if seconds is None or not _is_within(option, seconds):
        colon = " 1:30 could be hours or minutes: write 90m or 90s."
        is_clock = isinstance(value, str) and ":" in value
        raise _Wrong(
            "Write it as 30d, 2h, 90m or 30s; or a number of seconds." + (colon if is_clock else "")
        )
    return seconds


def _share(_option: Option, value: object) -> Share:
    share = parse_share(value)
    if share is None:
        raise _Wrong("Write a number of files, such as 20, or a percentage up to 100, such as 1%.")
    return share


def _path(option: Option, value: object) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise _Wrong(_in_quotes(option))
    try:
        text = os.fspath(value)
    except TypeError:  # an object whose __fspath__ returns neither str nor bytes
        raise _Wrong from None
    if not isinstance(text, str) or "\0" in text:
        raise _Wrong
    try:
        os.fsencode(text)
        return Path(text).expanduser()
    except UnicodeError:  # a lone surrogate
        raise _Wrong from None
    except RuntimeError:
        raise UsageError(
            f"{option.typed} {text}: there is no such user",
            next_step=f"A path that begins with ~ names a user: write ./{text} for such a name.",
        ) from None


def _check_places(option: Option, value: object, label: str) -> list[Path | str]:
    """Return folders as Paths, and the words for anything else."""
    values = listed(value)
    _check_texts(option, [_plain_path(each) for each in values], label)
    return [_place(option, each, label) for each in values]


def _plain_path(value: object) -> object:
    return os.fspath(value) if isinstance(value, Path) else value


def _place(option: Option, value: object, label: str) -> Path | str:
    try:
        path = _path(option, value)
    except _Wrong as wrong:
        raise UsageError(
            f"{label} {_shown(value)} is not {option.form}",
            next_step=wrong.next_step or option.hint or "Check the name of the folder.",
        ) from None
    word = value if isinstance(value, str) else str(value)
    return path if isinstance(parse_source(word, label), FolderPlace) else word


def _text(option: Option, value: object) -> str:
    if not isinstance(value, str):
        raise _Wrong(_in_quotes(option))
    return value


def _choice(option: Option, value: object) -> str:
    if not isinstance(value, str):
        raise _Wrong(_in_quotes(option))
    word = value.strip().casefold()
    if word not in option.words:
        from cxrsync.catalog.dataset_info import suggestion

        raise _Wrong(value_advice(option.name, value) or suggestion(value, option.words))
    return word


_CHECKS: dict[Type, Callable[[Option, object], Any]] = {
    Type.FLAG: _flag,
    Type.INT: _int,
    Type.SIZE: _size,
    Type.DURATION: _duration,
    Type.SHARE: _share,
    Type.PATH: _path,
    Type.TEXT: _text,
    Type.CHOICE: _choice,
}
# These say by themselves what is wrong.
_PARSERS: dict[Type, Callable[[object, str], Any]] = {
    Type.RATE: parse_timetable,
    Type.WINDOW: parse_window,
    Type.HOOK: parse_hook_command,
    Type.PING: parse_ping_url,
    Type.PERMISSIONS: parse_permissions,
}
_NUMBERS: dict[Type, Callable[[str], int]] = {Type.INT: int}


def _check_texts(option: Option, value: object, label: str) -> list[str]:
    """Return the values of a repeatable option as texts. A single value need not be a list."""
    is_labels = option.name == "label" and isinstance(value, Mapping)
    values = label_texts(value) if is_labels else listed(value)  # type: ignore[arg-type]
    texts = ["" if each is None else _as_text(option, each, label) for each in values]
    if texts and all(text.strip() for text in texts):
        return texts
    raise UsageError(
        f"{label} has an empty value" if len(texts) > 1 else f"{label} is empty",
        next_step="An empty value does not select everything. Give a value, or leave the option "
        "out (in Python: None).",
    )


def _as_text(option: Option, value: object, label: str) -> str:
    if isinstance(value, str):
        return value
    text = id_text(value) if option.type in {Type.IDS, Type.SHARD} else None
    if text is not None:
        return text
    raise UsageError(
        f"{label} {_shown(value)} is not {option.form}",
        next_step=advice(value) or _in_quotes(option),
    )


# ── helpers ────────────────────────────────────────────────────────────────────────────────────


def _is_within(option: Option, number: float) -> bool:
    return (
        (option.at_least is None or number >= option.at_least)
        and (option.at_most is None or number <= option.at_most)
        and (option.above is None or number > option.above)
    )


def _without_quotes(text: str, kind: Callable[[str], float]) -> str:
    try:
        number = kind(text)
    except ValueError:
        return ""
    return f"Write {text.strip()}, without quotes." if math.isfinite(number) else ""


def _in_quotes(option: Option) -> str:
    example = option.example or (option.words[0] if option.words else "…")
    return f"Write text, in quotes, such as {example!r}."


def _shown(value: object) -> str:
    """Return a value as a message shows it: shortened, or only its type if it is not simple."""
    shown = ""
    if isinstance(value, str):
        shown = str.__repr__(value)
    elif isinstance(value, float):
        shown = float.__repr__(value)
    elif value is None or isinstance(value, bool):
        shown = str(value)
    elif (number := index(value)) is not None and abs(number) <= MAX_INT:
        shown = str(number)
    if not shown:
        return f"({type(value).__name__})"
    return shown if len(shown) <= _MAX_SHOWN else shown[: _MAX_SHOWN - 1] + "…"


def _unknown(name: str) -> UsageError:
    if name in BY_NAME:
        return UsageError(
            f"{name} is not an option of a job",
            next_step=f"It exists on the command line only: {BY_NAME[name].typed}.",
        )
    near = [option.name for option in nearest(name, JOB_OPTIONS)]
    if "password" in name:
        step = SIGN_IN_HINT
    elif near:
        step = f"Did you mean {' or '.join(near)}?"
    else:
        step = "`cxrsync pull --help-all` lists the options; in Python, write _ for -."
    return UsageError(f"no such option: {name}", next_step=step)
