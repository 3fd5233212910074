"""Read a YAML file that a person wrote: plain values only, with line and column of each value.

Features of YAML that a settings file does not need are errors, with line and column: aliases can
expand without bound, tags can construct objects, and the first of two equal keys would be lost
without notice. Keys are text exactly as written: ``on`` is not a bool, ``2.10`` is not a number.
Values that only YAML 1.1 reads as numbers or dates, such as ``010`` and ``1:30``, are text, too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from cxrsync.catalog.yaml_document import Place, ValuePath, YamlDocument, spelled
from cxrsync.errors import UsageError
from cxrsync.sanitize import reason_of

# Bounds in bytes and in nested levels. No settings file of a person reaches them.
MAX_BYTES = 256 << 10
_MAX_DEPTH = 16
_CHECK_NAME = "Check the name, and that you may read the file."
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]{0,17})", re.ASCII)


def read_yaml(file: Path, title: str, *, if_missing: str = _CHECK_NAME) -> YamlDocument:
    """Read a file; ``title`` names it in messages. ``if_missing``: what to do if there is none.

    Raises UsageError if the file cannot be read, is not valid YAML, or contains more than plain
    values.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as problem:
        raise UsageError(
            f"cannot read {title}: {reason_of(problem)}",
            next_step=if_missing if isinstance(problem, FileNotFoundError) else _CHECK_NAME,
        ) from None
    if len(data) > MAX_BYTES:
        raise UsageError(
            f"{title}: the file has more than {MAX_BYTES:,} bytes",
            next_step="Is it another file? One of this kind has a few kB.",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(
            f"{title}: the file is not UTF-8 text", next_step="Save it as UTF-8 in your editor."
        ) from None
    return parse_yaml(text, title)


def parse_yaml(text: str, title: str) -> YamlDocument:
    """Return the document in a text. Raises UsageError as :func:`read_yaml` does."""
    places: dict[ValuePath, Place] = {}
    texts: dict[ValuePath, str] = {}
    try:
        node = _Loader(text).get_single_node()
        value = None if node is None else _value(node, (), places, texts)
    except _Refused as refused:
        raise UsageError(
            f"{title}, {refused.place}: {refused}", next_step=refused.next_step
        ) from None
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        where = "" if mark is None else f", {_place(mark)}"
        raise UsageError(
            f"{title}{where}: this is not valid YAML", next_step=_advice(text, mark)
        ) from None
    return YamlDocument(title, value, places, texts)


def _advice(text: str, mark: yaml.Mark | None) -> str:
    """Return what is probably wrong where YAML could not be read on."""
    lines = text.splitlines()
    line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    if line[: len(line) - len(line.lstrip())].count("\t"):
        return "The line begins with a tab, which YAML does not allow there. Use spaces."
    return (
        "Look at this line and the one before it. A key is followed by a colon and a blank, and "
        "keys of one level begin in the same column. "
        "Text that contains ': ' or ' #', or starts with a special character, needs quotes."
    )


class _Refused(Exception):
    """Valid YAML that is not accepted here. The message is our own."""

    def __init__(self, mark: yaml.Mark, what: str, next_step: str) -> None:
        super().__init__(what)
        self.place = _place(mark)
        self.next_step = next_step


def _place(mark: yaml.Mark) -> Place:
    return Place(mark.line + 1, mark.column + 1)


class _Loader(yaml.SafeLoader):
    """Refuses nodes before they are composed."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:  # aliases have the attribute, too
            _refuse(event.start_mark, "anchors and aliases (& and *) are not accepted")
        if getattr(event, "tag", None) is not None:
            _refuse(event.start_mark, "tags (!) are not accepted")
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            _refuse(
                event.start_mark,
                f"lists and mappings are nested more than {_MAX_DEPTH} levels deep",
            )
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _refuse(mark: yaml.Mark, what: str, next_step: str = "") -> NoReturn:
    raise _Refused(mark, what, next_step)


def _value(
    node: yaml.Node,
    path: ValuePath,
    places: dict[ValuePath, Place],
    texts: dict[ValuePath, str],
) -> Any:
    """Return the plain value of a node, and add what the document says of all values below."""
    if isinstance(node, yaml.MappingNode):
        items = _items(node, path, places)
        return {key: _value(below, (*path, key), places, texts) for key, below in items}
    if isinstance(node, yaml.SequenceNode):
        for number, below in enumerate(node.value):
            places[(*path, number)] = _place(below.start_mark)
        return [
            _value(below, (*path, number), places, texts) for number, below in enumerate(node.value)
        ]
    value = _scalar(node)
    if not isinstance(value, str):
        texts[path] = node.value
    return value


def _items(
    node: yaml.MappingNode, path: ValuePath, places: dict[ValuePath, Place]
) -> Iterator[tuple[str, yaml.Node]]:
    for key, below in node.value:
        if not isinstance(key, yaml.ScalarNode):
            _refuse(key.start_mark, "a key must be text")
        here = (*path, key.value)
        if here in places:
            _refuse(
                key.start_mark,
                f"{spelled(here)} is a duplicate key (the first is in {places[here]})",
                "Keep one of the two: programs differ in which of them counts.",
            )
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
