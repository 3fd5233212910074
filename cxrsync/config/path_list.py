"""Tells paths and globs of a list from ids, rows of a table, and prose. Pure.

What is refused is counted and never shown: it may be the text of a report.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cxrsync.config.id_forms import FORMS

# PhysioNet's names of files have letters, digits, dashes, dots and underscores. A line with any of
# these, outside of a glob's [class], is prose or a row of a table.
_NO_PATH = re.compile(r"[\s,;\"<>|]")
_CLASS = re.compile(r"\[!?[^\]]+\]")
# What an id alone has not.
_OF_PATHS = re.compile(r"[/\\*?\[]|\.(?!0*$)")


def no_paths(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return why the entries of a list are no paths or globs ("": they are), and the sorts of id
    that they are instead, by name."""
    names = (
        [word.strip("\"' ").casefold() for word in re.split(r"[,;\t|]", words[0])] if words else []
    )
    columns = [form for form in FORMS if set(names) & set(form.columns)]
    if columns:
        has = " and ".join(form.columns[0] for form in columns)
        return f"it has no column path, but {has}", [form.name for form in columns]
    if words and all(map(_ids_alone, words)):
        kinds = {name for word in words for name in _ids_alone(word)}
        return "it holds ids, not paths", [form.name for form in FORMS if form.name in kinds]
    wrong = sum(_NO_PATH.search(_CLASS.sub("", word)) is not None for word in words)
    if wrong:
        entries = "entry" if len(words) == 1 else "entries"
        what = "is no path or glob" if wrong == 1 else "are no paths or globs"
        return f"{wrong:,} of {len(words):,} {entries} {what}", []
    return "", []


def _ids_alone(word: str) -> list[str]:
    """Return the sorts of id that a word without folder and suffix may be."""
    if _OF_PATHS.search(word):
        return []
    return [form.name for form in FORMS if form.parse(word) is not None]
