"""Read a YAML file that a person wrote: plain values only, and where in the file each stands.

YAML can do more than a settings file needs, and what it does can surprise or harm: an alias repeats
a node without bound, a tag makes objects, and of two equal keys the first is lost in silence. All
of these are refused with line and column. Keys are taken as they are written (``on`` is no truth
value, ``2.10`` no number), and so is what only YAML takes for a number or date: ``010``, ``1:30``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import yaml

from cxrsync.errors import UsageError
from cxrsync.sanitize import reason_of

# In bytes, and in levels of lists and mappings: more than any settings file comes to.
MAX_BYTES = 256 << 10
_MAX_DEPTH = 16
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]{0,17})", re.ASCII)

# Keys of mappings and numbers of list items, from the top.
ValuePath = tuple[str | int, ...]


class Place(NamedTuple):
    """Where something stands in the file; both count from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """What a file holds: None, texts, numbers and truth values in lists and mappings of texts.

    ``title`` names the file in messages; ``places`` says where each value (its key, in a mapping)
    stands.
    """

    title: str
    value: Any
    places: dict[ValuePath, Place] = field(default_factory=dict)

    def error(self, path: ValuePath, what: str, next_step: str | None = None) -> UsageError:
        """The error that ``what`` is wrong with the value at ``path``."""
        place = self.places.get(path)
        where = self.title if place is None else f"{self.title}, {place}"
        named = f"{spelled(path)}: " if path else ""
        return UsageError(f"{where}: {named}{what}", next_step=next_step)


def spelled(path: ValuePath) -> str:
    """A path as people write it: ``jobs[0].shard``."""
    parts = (f"[{each}]" if isinstance(each, int) else f".{each}" for each in path)
    return "".join(parts).lstrip(".")


def read_yaml(file: Path, title: str) -> YamlDocument:
    """Read a file. Raises UsageError, with ``title`` in front, for a file that cannot be read, that
    is no YAML, or that holds something else than plain values."""
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as problem:
        raise UsageError(f"cannot read {title}: {reason_of(problem)}") from None
    if len(data) > MAX_BYTES:
        raise UsageError(f"{title}: it has more than {MAX_BYTES:,} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{title}: it is no text in UTF-8") from None
    return parse_yaml(text, title)


def parse_yaml(text: str, title: str) -> YamlDocument:
    """The document that a text is. Raises UsageError as :func:`read_yaml` does."""
    places: dict[ValuePath, Place] = {}
    try:
        node = _Loader(text).get_single_node()
        value = None if node is None else _value(node, (), places)
    except _Refused as refused:
        raise UsageError(f"{title}, {refused.place}: {refused}") from None
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        where = "" if mark is None else f", {_place(mark)}"
        raise UsageError(
            f"{title}{where}: it is no valid YAML",
            next_step="A text that holds ': ' or ' #', or begins with a sign, has to be in quotes.",
        ) from None
    return YamlDocument(title, value, places)


class _Refused(Exception):
    """Valid YAML that is not accepted; the words are our own."""

    def __init__(self, mark: yaml.Mark, what: str) -> None:
        super().__init__(what)
        self.place = _place(mark)


def _place(mark: yaml.Mark) -> Place:
    return Place(mark.line + 1, mark.column + 1)


class _Loader(yaml.SafeLoader):
    """Refuses a node before anything is made of it."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:  # an alias bears one, too
            _refuse(event.start_mark, "anchors and aliases (& and *) are not accepted")
        if getattr(event, "tag", None) is not None:
            _refuse(event.start_mark, "tags (!) are not accepted")
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            _refuse(event.start_mark, f"more than {_MAX_DEPTH} lists and mappings in each other")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _refuse(mark: yaml.Mark, what: str) -> NoReturn:
    raise _Refused(mark, what)


def _value(node: yaml.Node, path: ValuePath, places: dict[ValuePath, Place]) -> Any:
    """The plain value of a node; ``places`` gets those of everything below it."""
    if isinstance(node, yaml.MappingNode):
        items = _items(node, path, places)
        return {key: _value(below, (*path, key), places) for key, below in items}
    if isinstance(node, yaml.SequenceNode):
        for number, below in enumerate(node.value):
            places[(*path, number)] = _place(below.start_mark)
        return [_value(below, (*path, number), places) for number, below in enumerate(node.value)]
    return _scalar(node)


def _items(
    node: yaml.MappingNode, path: ValuePath, places: dict[ValuePath, Place]
) -> Iterator[tuple[str, yaml.Node]]:
    for key, below in node.value:
        if not isinstance(key, yaml.ScalarNode):
            _refuse(key.start_mark, "a key has to be text")
        here = (*path, key.value)
        if here in places:
            _refuse(key.start_mark, f"{spelled(here)} stands here twice ({places[here]}, too)")
        places[here] = _place(key.start_mark)
        yield key.value, below


def _scalar(node: yaml.Node) -> str | bool | int | float | None:
    text: str = node.value
    kind = node.tag.rpartition(":")[2]
    if kind == "null":
        return None
    if kind == "bool":
        return yaml.SafeLoader.bool_values[text.lower()]
    if kind == "int" and _INT.fullmatch(text):
        return int(text)
    if kind == "float":
        try:
            number = float(text)
        except ValueError:  # 1:30.5, or .inf
            return text
        return number if math.isfinite(number) else text
    return text
