"""The content of a YAML file: plain values, with line and column of each.

It is apart from :mod:`cxrsync.catalog.yaml_file`, which reads such files and needs a YAML library.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cxrsync.errors import UsageError

# The way from the top of a document to a value: keys of mappings and indexes of lists.
ValuePath = tuple[str | int, ...]


class Place(NamedTuple):
    """A position in the file; both numbers count from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """The content of a file: None, str, int, float and bool in lists and in dicts with str keys.

    ``title`` names the file in messages. ``places``: the position of each list item, and of the key
    of each value in a mapping. ``texts``: how the file spells each value that is not text.
    """

    title: str
    value: Any
    places: dict[ValuePath, Place] = field(default_factory=dict)
    texts: dict[ValuePath, str] = field(default_factory=dict)

    def error(self, path: ValuePath, what: str, next_step: str | None = None) -> UsageError:
        """Return an error about the value at ``path``; ``what`` says what is wrong."""
        place = self.places.get(path)
        where = self.title if place is None else f"{self.title}, {place}"
        named = f"{spelled(path)}: " if path else ""
        return UsageError(f"{where}: {named}{what}", next_step=next_step)


def spelled(path: ValuePath) -> str:
    """Return a path as text: ``jobs[0].shard``."""
    parts = (f"[{each}]" if isinstance(each, int) else f".{each}" for each in path)
    return "".join(parts).lstrip(".")
