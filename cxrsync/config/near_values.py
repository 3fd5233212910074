"""What people write instead of a value. Pure.

A word that can mean one thing only is taken as that; any other gets a sentence of advice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# What stands between a label and its value, and between the words of a label.
_BETWEEN = re.compile(r"[\s:=]+")
_SPLITS = (
    frozenset({"train", "training"}),
    frozenset({"validate", "validation", "valid", "val", "dev", "development"}),
    frozenset({"test", "testing"}),
)
_LABEL_VALUES = {
    "1": "1.0 positive present pos yes true",
    "0": "0.0 negative absent neg no false",
    "-1": "-1.0 uncertain unsure maybe",
    "blank": "nan none null missing empty unmentioned",
}
# Option, value, and what people write for it.
_NEAR = {
    "only": {
        "images": "jpg jpgs jpeg dicom dicoms dcm png pictures imaging",
        "reports": "txt text texts notes",
        "tables": "csv metadata labels splits csvs",
        "archives": "zip zips tar",
        "docs": "documents documentation license readme other",
    },
    "sample_by": {
        "subject": "subjects patient patients person",
        "study": "studies exam exams report reports",
        "image": "images dicom file files",
    },
    "progress": {
        "none": "off no quiet silent never false hide disable",
        "bar": "tqdm on yes always true",
        "log": "lines plain text dot",
    },
    "link": {"reflink": "clone cow auto", "hardlink": "hard link ln", "copy": "cp none no"},
    "reports": {"zip": "archive zipped", "files": "file txt single each none"},
    "format": {
        "paths": "path list names plain text",
        "urls": "url links wget",
        "sha256sum": "sha256 sums checksum checksums digest digests sha256sums",
        "json": "jsonl jsonlines json-lines ndjson",
    },
    "print": {"systemd": "unit units timer service", "cron": "crontab"},
    "labeler": {"chexpert": "chex default", "negbio": "neg"},
}
_ADVICE = {
    ("view", "frontal"): "Write --frontal, which means PA and AP.",
    ("view", "front"): "Write --frontal, which means PA and AP.",
    ("view", "lat"): "Write --lateral, which means LATERAL and LL.",
    ("view", "side"): "Write --lateral, which means LATERAL and LL.",
    ("view", "none"): "Write blank for images without a recorded view.",
    ("view", "unknown"): "Write blank for images without a recorded view.",
    ("view", "nan"): "Write blank for images without a recorded view.",
    ("link", "symlink"): "A link to a file that later changes or goes would be no copy of it: use "
    "reflink, hardlink or copy.",
}
_ALL = frozenset({"all", "any", "*", "everything"})


def means_split(name: str, word: str) -> bool:
    """Return whether a user's word means the split of this name, if it is no split's own name."""
    name, word = name.strip().casefold(), word.strip().casefold()
    return any(name in names and word in names for names in _SPLITS)


def chosen_splits(names: Iterable[str], words: Iterable[str]) -> tuple[frozenset[str], list[str]]:
    """Return the splits of a table that the words mean, and the words that mean none.

    A word means the split that it names, in any case; else those that mean the same.
    """
    names = list(names)
    chosen: set[str] = set()
    unknown = []
    for word in words:
        own = [name for name in names if name.strip().casefold() == word.strip().casefold()]
        found = own or [name for name in names if means_split(name, word)]
        chosen.update(found)
        if not found:
            unknown.append(word)
    return frozenset(chosen), unknown


def label_value(word: str) -> str:
    """Return 1, 0, -1 or blank for what people write for it; any other word unchanged."""
    folded = word.strip().casefold()
    return next(
        (value for value, words in _LABEL_VALUES.items() if folded in words.split()), folded
    )


def label_and_value(words: Iterable[str], labels: Iterable[str]) -> str | None:
    """Return ``NAME=VALUE`` for a label and its value that were written as several words, or with
    something else than ``=`` between them; None unless they can mean one thing only."""
    parts = _BETWEEN.split(" ".join(words).strip())
    name, wanted = " ".join(parts[:-1]).casefold(), label_value(parts[-1])
    known = next((each for each in labels if each.casefold() == name), None)
    return None if known is None or wanted not in _LABEL_VALUES else f"{known}={wanted}"


def singular_or_plural(word: str, known: Iterable[str]) -> str:
    """Return the known word that differs in case or in a final s only; else the word."""
    folded = word.strip().casefold()
    return next((each for each in known if folded.rstrip("s") == each.rstrip("s")), folded)


def value_advice(option: str, word: str) -> str:
    """Return what to write for an unknown value of an option; "" if nothing is known."""
    folded = word.strip().casefold()
    if advice := _ADVICE.get((option, folded)):
        return advice
    if folded in _ALL and option in {"split", "view", "shard", "only", "label"}:
        return f"Leave --{option} out: without it nothing is left out."
    for value, words in _NEAR.get(option, {}).items():
        if folded in words.split():
            return f"Did you mean {value}?"
    return ""
