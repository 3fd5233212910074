"""The keys of a job file, and what to say instead of a wrong one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from cxrsync.catalog.yaml_document import ValuePath
from cxrsync.config.mirror_options import FILE_OPTIONS, JOB_SETTINGS
from cxrsync.config.option import Option, Type, nearest
from cxrsync.config.option_table import BY_NAME, JOB_OPTIONS

SEE_EXAMPLE = "`cxrsync mirror --schema` prints the form; configs/nightly.yaml is an example."
OPTION_IN_TEXT = re.compile(r"(?<![\w/-])--([a-z][a-z-]*[a-z])")

JOB_KEYS: tuple[Option, ...] = (*JOB_OPTIONS, *JOB_SETTINGS)


def as_keys(text: str) -> str:
    """Return a text about options of the command line with the keys of a job file."""
    flags = {option.key: option.type is Type.FLAG for option in JOB_KEYS}

    def key(match: re.Match[str]) -> str:
        name = match[1].replace("-", "_")
        if name not in flags:
            return match[0]
        return f"{name}: true" if flags[name] else name

    return OPTION_IN_TEXT.sub(key, text)


def key_advice(key: str, path: ValuePath, options: Sequence[Option], more: Sequence[str]) -> str:
    """Return what to write instead of an unknown key."""
    is_top = len(path) == 1
    if is_top and key in {option.key for option in JOB_KEYS}:
        return f"{key} belongs into a job, or into defaults: for all of them."
    if not is_top and key in {option.key for option in FILE_OPTIONS}:
        return f"{key} is for all jobs: it belongs to the top of the file, beside jobs."
    if close := difflib.get_close_matches(key, more, n=1, cutoff=0.6):
        return f"Did you mean {close[0]}?"
    if near := [option.key for option in nearest(key, options)]:
        return f"Did you mean {' or '.join(near)}?"
    if key in BY_NAME or key in {option.key for option in BY_NAME.values()}:
        return f"{key} is an option of the command line only."
    return SEE_EXAMPLE
