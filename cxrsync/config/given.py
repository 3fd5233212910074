"""What was given: each option that may repeat as a list of texts, and nothing empty.

Absent, or None, is no filter. An empty value is not: it is a query that found nobody, or an unset
variable of a script, and taken for "no filter" it would fetch the whole version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cxrsync.errors import UsageError

# The options whose values are alternatives.
REPEATABLE = frozenset(
    {"shard", "split", "subject", "study", "image", "view", "label", "only", "include", "exclude"}
)
_SPELLED = {"from_dir": "--from"}


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are there. Raises UsageError for an empty one, whatever its door."""
    found: dict[str, Any] = {}
    for name, value in options.items():
        if value is None:
            continue
        if name in REPEATABLE:
            found[name] = _texts(name, value)
        elif isinstance(value, str) and not value.strip():
            raise UsageError(
                f"{spelled(name)} is empty",
                next_step="An unset variable, perhaps? Give it a value, or leave it out.",
            )
        else:
            found[name] = value
    return found


def spelled(name: str) -> str:
    """An option as it is typed."""
    return _SPELLED.get(name) or "--" + name.replace("_", "-")


def _texts(name: str, value: Any) -> list[str]:
    """The values of an option that may repeat; Python and YAML say subject=10000032, too."""
    is_list = isinstance(value, Iterable) and not isinstance(value, str | bytes)
    values = list(value) if is_list else [value]
    texts = ["" if each is None else str(each) for each in values]
    if texts and all(text.strip() for text in texts):
        return texts
    raise UsageError(
        f"{spelled(name)} has an empty value" if len(texts) > 1 else f"{spelled(name)} is empty",
        next_step="That does not mean everything. Give it a value; where no such filter is "
        "wanted, leave it out (in Python: None).",
    )
