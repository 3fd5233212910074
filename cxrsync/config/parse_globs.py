"""The values of ``--include`` and ``--exclude``: globs, paths, URLs, and files that list them."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.config.id_list import path_words
from cxrsync.config.parse_ids import open_list, unreadable_list
from cxrsync.config.places import is_address, parse_place
from cxrsync.errors import UsageError
from cxrsync.sanitize import reason_of
from cxrsync.utf8_stream import UnreadableStream, utf8_pieces

_FORM = "One path or glob a line, a table with a column path, or a JSON list."


def parse_globs(
    values: Iterable[str],
    option: str,
    dataset: str,
    known: Mapping[str, DatasetInfo],
    base_url: str,
) -> tuple[str, ...]:
    """Return the globs that values are, without duplicates.

    A value is a glob over whole paths, or the address of a file or a folder of the dataset, or
    ``@FILE`` with one of these a line (``@-``: standard input). Raises UsageError.
    """

    def parsed(word: str, label: str) -> Iterator[str]:
        if not is_address(word):
            yield word.removeprefix("./")
            return
        place = parse_place(word, label, base_url, known)
        if place.dataset != dataset:
            raise UsageError(
                f"{label}: this is an address of {place.dataset}, not of {dataset}",
                next_step=f"Name {place.dataset} with --dataset.",
            )
        path = glob.escape(place.path)
        yield from (path, f"{path}/*") if path else ("*",)

    found: dict[str, None] = {}
    for value in values:
        if value.startswith("@"):
            label = f"{option} {value}"
            words = _read(value[1:], label)
            found.update(dict.fromkeys(chain.from_iterable(parsed(word, label) for word in words)))
        else:
            found.update(dict.fromkeys(parsed(value, option)))
    return tuple(found)


def _read(name: str, label: str) -> list[str]:
    try:
        with open_list(name, label) as stream:
            words, problem, ids = path_words(utf8_pieces(stream))
    except UnreadableStream as unreadable:
        raise UsageError(
            f"{label}: the file is {reason_of(unreadable)}", next_step=f"Make it again. {_FORM}"
        ) from None
    except OSError as failed:
        raise unreadable_list(label, failed) from None
    if problem:
        step = _FORM
        if ids:
            step = f"Select by ids: {' or '.join(f'--{each} @{name}' for each in ids)}."
        raise UsageError(f"{label}: {problem}", next_step=step)
    if not words:
        raise UsageError(
            f"{label}: the file contains no path",
            next_step=f"An empty list does not select everything. {_FORM}",
        )
    return words
