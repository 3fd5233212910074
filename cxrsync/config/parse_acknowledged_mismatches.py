"""``--acknowledge FILE``: contradictions that a person has looked at, and lives with."""

from __future__ import annotations

import re
from pathlib import Path

from cxrsync.errors import UsageError
from cxrsync.sanitize import reason_of

# As sha256sum writes a line, and the other way round, as our own reports name them.
_LINE = re.compile(
    r"(?P<first>[0-9a-f]{64}) [ *]?(?P<path_after>\S.*)|(?P<path>\S.*?)\s+(?P<last>[0-9a-f]{64})",
)
_MAX_NAMED = 5


def read_acknowledged(file: Path) -> frozenset[tuple[str, str]]:
    """The pairs of path and observed SHA-256 that a file names, one a line, in either order.

    Blank lines and those that begin with ``#`` are nothing. Raises UsageError, naming the lines
    that are none.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"--acknowledge {file}: it is not text") from None
    except OSError as problem:
        raise UsageError(f"--acknowledge {file}: {reason_of(problem)}") from None
    found: set[tuple[str, str]] = set()
    junk: list[int] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _LINE.fullmatch(text)
        if match is None:
            junk.append(number)
        else:
            found.add((match["path"] or match["path_after"], match["last"] or match["first"]))
    if junk:
        named = ", ".join(str(number) for number in junk[:_MAX_NAMED])
        more = f" and {len(junk) - _MAX_NAMED:,} more" if len(junk) > _MAX_NAMED else ""
        raise UsageError(
            f"--acknowledge {file}: not a path and a SHA-256: line {named}{more}",
            next_step="One file a line: its path below the version's root and the digest that "
            "was observed, as the run that found it reports them.",
        )
    return frozenset(found)
