"""Values as Python programs have them: lists, NumPy arrays, pandas Series. Neither is imported."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Mapping
from typing import Any

# SQLite stores no larger number, and Python prints none of more than 4,300 digits.
MAX_INT = (1 << 63) - 1


def listed(value: object) -> list[object]:
    """Return the values of a repeatable option. A single value need not be a list."""
    is_list = isinstance(value, Iterable) and not isinstance(value, str | bytes | os.PathLike)
    if not is_list or is_table(value) or (isinstance(value, Mapping) and value):
        return [value]
    try:
        return list(value)  # type: ignore[call-overload, no-any-return]
    except TypeError:  # a numpy array of dimension 0
        return [value]


def is_table(value: object) -> bool:
    """Return whether a value is like a DataFrame: iterating over it would give its columns."""
    return hasattr(value, "columns") and hasattr(value, "iloc")


def plain(value: object) -> object:
    """Return a single value of NumPy as Python's own, and any other value unchanged."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        return value.item()  # type: ignore[attr-defined]
    return value


def label_texts(labels: Mapping[Any, object]) -> list[object]:
    """Return labels and their values as the command line has them: ``Pneumonia=1``.

    None and NaN, which a table has where a report does not mention the label, mean blank. A name
    that is no text is returned as it is, so that it is refused.
    """
    texts: list[object] = []
    for name, wanted in labels.items():
        values = [_label_value(plain(each)) for each in listed(wanted)] or [""]
        texts.append(f"{name}={','.join(values)}" if isinstance(name, str) else name)
    return texts


def _label_value(value: object) -> str:
    if value is None or type(value).__name__ == "NAType" or value != value:
        return "blank"
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    if isinstance(value, str) or ((number := index(value)) is not None and abs(number) <= MAX_INT):
        return str(value)
    return f"({type(value).__name__})"


def index(value: object) -> int | None:
    """Return a whole number, also one of numpy; None for anything else, also for a bool."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def id_text(value: Any) -> str | None:
    """Return an id as text; None for what is neither a whole number nor a path.

    A float counts if it is whole: pandas makes floats of a column with gaps.
    """
    if isinstance(value, os.PathLike):
        path = os.fspath(value)
        return path if isinstance(path, str) else None
    number = int(value) if isinstance(value, float) and value.is_integer() else index(value)
    return str(number) if number is not None and abs(number) <= MAX_INT else None


def advice(value: object) -> str:
    """Return what to write for a value that is no text; "" if nothing special is known."""
    if is_table(value):
        return 'Name the column: table["subject_id"], for example.'
    if type(value).__name__ in {"NAType", "NaTType"} or (
        isinstance(value, float) and value != value
    ):
        return "A value is missing: drop the missing ones first (pandas: .dropna())."
    return ""
