"""Messages in the words of Python: ``shard=`` where the command line says ``--shard``. Pure.

Errors and notices are written in the words of the command line. A Python program gets the same
texts with the names of keywords, as a job file gets them with its keys
(:func:`cxrsync.config.job_keys.as_keys`).
"""

from __future__ import annotations

import re

from cxrsync.config.option import Option, Type
from cxrsync.config.option_table import BY_NAME, OPTIONS

# A command line, to be typed in a terminal: it stays as it is.
_COMMAND_LINE = re.compile(r"(`[^`]*`)")
_OPTION = re.compile(
    r"(?<![\w/`-])--(?P<name>[a-z][a-z-]*[a-z])"
    r"""(?P<value>[ ](?:'[^']*'|"[^"]*"|[^\s'"`]*[^\s'"`,.:;)]))?"""
    r"(?P<wrong>[ ]is[ ]not[ ])?"
)
# In Python, None is no value anyway.
_ALREADY_SAID = " (in Python: None)"
_BARE_COMMAND = re.compile(r"`cxrsync (pull|ls|verify|status)`")
_AGAIN = {
    "Run the same command": "Make the same call",
    "run the same command": "make the same call",
}
_OPTIONS = {option.typed: option for option in OPTIONS}
_TAKEN = {option.typed for option in OPTIONS if option.is_of_job} | {"--all", "--repair"}
# What a word must be for a value, where it is not quoted; prose follows an option as often.
_VALUE = re.compile(r"[A-Z@~/.].*|.*[0-9].*|.+://.+|.+=.+")
_WORDS = {
    "from_dir": ("s3", "gcs", "physionet"),
    "only": ("images", "reports", "tables", "archives", "docs"),
    "split": ("train", "validate", "test"),
}


def in_python(text: str) -> str:
    """Return a text about options of the command line with the keywords of Python."""
    text = _BARE_COMMAND.sub(r"`cxrsync.\1()`", text).replace(_ALREADY_SAID, "")
    for said, meant in _AGAIN.items():
        text = text.replace(said, meant)
    parts = _COMMAND_LINE.split(text)
    return "".join(part if part.startswith("`") else _OPTION.sub(_keyword, part) for part in parts)


def keyword(name: str) -> str:
    """Return the name of an option as messages show it to a Python program."""
    return f"{name}=True" if BY_NAME[name].type is Type.FLAG else f"{name}="


def _keyword(match: re.Match[str]) -> str:
    typed, value, wrong = f"--{match['name']}", match["value"] or "", match["wrong"] or ""
    if typed == "--dry-run":
        return f"cxrsync.dry_run(){value}{wrong}"
    if typed not in _TAKEN:
        return match[0]
    option = _OPTIONS[typed]
    word = value.removeprefix(" ")
    if word and wrong:  # the value of the user, as Python shows it
        return f"{option.name}={word}{wrong}"
    return f"{_assigned(option, value, word)}{wrong}"


def _assigned(option: Option, value: str, word: str) -> str:
    if option.type is Type.FLAG:
        return f"{option.name}=True{value}"
    if word[:1] in {"'", '"'}:
        return f"{option.name}={word}"
    if word and _is_value(option, word):
        is_number = option.type in {Type.INT, Type.DURATION} and word.isdigit()
        return f"{option.name}={word}" if is_number else f'{option.name}="{word}"'
    return f"{option.name}={value}"


def _is_value(option: Option, word: str) -> bool:
    if option.name == "dataset" and "-" in word:
        return True
    words = (*option.words, *_WORDS.get(option.name, ()))
    return word in words or _VALUE.fullmatch(word) is not None
