"""Which rows of a state can be records of ours. Pure.

SQLite keeps any value in any column, and a flipped bit can turn a text into a number or a blob. The
rows of a page are checked together: one by one they would take as long as to read them.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from cxrsync.model import (
    MAX_BYTES,
    CopyRecord,
    DigestMismatch,
    FileRecord,
    is_digest,
    is_size,
    is_validator,
)

_DIGEST_HEX = 64
# Lines of validators, as of is_validator, or empty ones.
_VALIDATORS = re.compile(r'(?:(?:"[\x21\x23-\x7e]{0,510}")?\n)*')
# Half the time of FileRecord._make, which counts the values: the query has done that.
_record = partial(tuple.__new__, FileRecord)


def possible_records(page: Sequence[Sequence[Any]]) -> Iterator[FileRecord]:
    """Yield the rows that can be records; others are skipped, and their files are hashed again."""
    records: Iterator[FileRecord] = map(_record, page)
    return records if _are_all_possible(page) else filter(_is_possible, records)


def _are_all_possible(page: Sequence[Sequence[Any]]) -> bool:
    if not page:
        return True
    paths, digests, sizes, _mtimes, sources, validators, _proofs, copies = zip(*page, strict=True)
    if any(copies) or {*map(type, (*paths, *digests, *sources, *validators))} != {str}:
        return False
    if {*map(type, sizes)} != {int} or min(sizes) < 0 or max(sizes) > MAX_BYTES:
        return False
    lines = "\n".join((*validators, ""))
    return (
        {*map(len, digests)} == {_DIGEST_HEX}
        and _is_lower_hex("".join(digests))
        and lines.count("\n") == len(page)
        and _VALIDATORS.fullmatch(lines) is not None
    )


def _is_lower_hex(text: str) -> bool:
    try:
        return unhexlify(text).hex() == text
    except ValueError:  # another character, or one that is not ASCII
        return False


def _is_possible(row: FileRecord) -> bool:
    path, sha256, size, _mtime_ns, source, validator, _verified_at, copy = row
    return (
        type(path) is type(sha256) is type(source) is type(validator) is str
        and is_digest(sha256)
        and is_size(size)
        and (not validator or is_validator(validator))
        and (copy is None or _is_possible_copy(copy))
    )


def _is_possible_copy(copy: CopyRecord) -> bool:
    return (
        type(copy.sha256) is str
        and is_digest(copy.sha256)
        and is_size(copy.size)
        and copy.pixels > 0
    )


def is_possible_mismatch(known: DigestMismatch) -> bool:
    """Return whether a mismatch can be ours: its validator goes into requests, its digests into
    messages."""
    return (
        all(type(text) is str for text in known)
        and is_digest(known.expected)
        and is_digest(known.observed)
        and (not known.validator or is_validator(known.validator))
    )
