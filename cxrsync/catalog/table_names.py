"""Find a table by what a user calls it: its path, its role, or words of its name. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase

from cxrsync.catalog.dataset_info import IMAGES, STUDIES, DatasetInfo

# What a table's name ends in. Other files are no tables: a report's text must not be shown as one.
SUFFIXES = (".csv", ".csv.gz")
_WORDS = re.compile(r"[a-z]+|[0-9]+")


def is_table_name(path: str) -> bool:
    """Return whether a path has the name of a table."""
    return path.casefold().endswith(SUFFIXES)


def roles_of(dataset: DatasetInfo) -> dict[str, str]:
    """Return the glob of each role by which a user may name a table: split, metadata, a labeler."""
    return {role: glob for role, glob in dataset.tables.items() if role not in {STUDIES, IMAGES}}


def find_tables(word: str, paths: Sequence[str], roles: Mapping[str, str]) -> tuple[str, ...]:
    """Return those of the ``paths`` that ``word`` names: several if it is not clear which.

    What names a table: its path, else its name, its role, its name without capitals, signs and
    ending, or words of its name that follow each other. ``roles``: a glob for each role.
    """
    asked = word.strip().removeprefix("./")
    folded, words = _stem(asked).casefold(), _words(asked)
    glob = roles.get(folded)
    rules: tuple[Callable[[str], bool], ...] = (
        lambda path: path == asked,
        lambda path: _file(path) == asked,
        lambda path: glob is not None and fnmatchcase(path, glob),
        lambda path: bool(words) and _words(_file(path)) == words,
        lambda path: bool(words) and _contains(_words(path), words),
    )
    found = ((path for path in paths if rule(path)) for rule in rules)
    return next((each for rule in found if (each := tuple(rule))), ())


def similar_tables(word: str, paths: Sequence[str], roles: Mapping[str, str]) -> list[str]:
    """Return the names of tables that a mistyped ``word`` may mean, best first; at most three."""
    import difflib  # here, because only errors need it

    asked = _stem(word.strip()).casefold()
    names = {role: role for role in roles}
    names |= {_stem(path).casefold(): path for path in paths}
    names |= {_stem(_file(path)).casefold(): path for path in paths}
    close = difflib.get_close_matches(asked, names, n=3, cutoff=0.6)
    if not close:  # one word of a long name
        parts = {part: path for path in paths for part in _words(_file(path))}
        close_parts = [
            part
            for each in _words(asked)
            for part in difflib.get_close_matches(each, parts, n=1, cutoff=0.7)
        ]
        return list(dict.fromkeys(parts[part] for part in close_parts))[:3]
    return list(dict.fromkeys(names[name] for name in close))


def short_name(path: str, roles: Mapping[str, str]) -> str:
    """Return the shortest name by which a user may ask for a table: its role, else its path."""
    return next((role for role, glob in roles.items() if fnmatchcase(path, glob)), path)


def _file(path: str) -> str:
    return path.rpartition("/")[2]


def _stem(path: str) -> str:
    ends = [suffix for suffix in SUFFIXES if path.casefold().endswith(suffix)]
    return path[: -max(map(len, ends))] if ends else path


def _contains(words: list[str], run: list[str]) -> bool:
    return any(words[at : at + len(run)] == run for at in range(len(words) - len(run) + 1))


def _words(path: str) -> list[str]:
    return _WORDS.findall(_stem(path).casefold())
